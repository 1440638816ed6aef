"""Asynchronous workers on a virtual clock, for tables that record how long a training took."""

from __future__ import annotations

import heapq
from typing import Any, ClassVar

from po_nas.core.objective import Objective
from po_nas.runtime.executors.base import Completed, Executor, Job, evaluate

__all__ = ["SimulatedExecutor"]


class SimulatedExecutor(Executor):
    """`workers` parallel workers; a job takes the objective's recorded seconds of virtual time.

    Nothing waits: outcomes are computed at once and handed out in the order in which they would have finished (ties by
    number). A job that costs nothing finishes at the time it was submitted.
    """

    synchronous: ClassVar[bool] = False

    def __init__(self, objective: Objective, **settings: Any) -> None:
        super().__init__(objective, **settings)
        self._running: list[tuple[float, int, Completed]] = []

    def submit(self, job: Job, *, submitted_s: float | None = None) -> None:
        """Start a job on a free worker."""
        outcome, seconds, details = evaluate(self.objective, job, self.timeout_s)
        finished = (self._clock_s if submitted_s is None else submitted_s) + outcome.cost_s
        completed = Completed(job.number, outcome, seconds, finished, details, job.attempt)
        heapq.heappush(self._running, (finished, job.number, completed))

    def poll(self) -> list[Completed]:
        """Advance the clock to the next completion."""
        if not self._running:
            return []
        finished, _, completed = heapq.heappop(self._running)
        self._clock_s = max(self._clock_s, finished)
        return [completed]

    def cancel(self, number: int) -> bool:
        """Jobs start at once, so none can be dropped."""
        return False
