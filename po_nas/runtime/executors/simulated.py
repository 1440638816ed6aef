"""Asynchronous workers on a virtual clock, for tables that record how long a training took."""

from __future__ import annotations

import heapq
import itertools
from typing import Any, ClassVar

from po_nas.runtime.executors.base import Completed, Executor, Task, Workload
from po_nas.runtime.executors.inline import execute_here

__all__ = ["SimulatedExecutor"]


class SimulatedExecutor(Executor):
    """`workers` parallel workers; a task takes the seconds of virtual time that it is recorded to cost.

    Nothing waits: answers are computed at once and handed out in the order in which they would have finished (ties in
    the order of submission). A task that costs nothing finishes at the time it was submitted.
    """

    synchronous: ClassVar[bool] = False

    def __init__(self, workload: Workload, **settings: Any) -> None:
        super().__init__(workload, **settings)
        self._running: list[tuple[float, int, Completed]] = []
        self._order = itertools.count()

    def submit(self, task: Task, *, submitted_s: float | None = None) -> None:
        """Start a task on a free worker."""
        answer = execute_here(self, task)
        finished = (self._clock_s if submitted_s is None else submitted_s) + answer.cost_s
        heapq.heappush(self._running, (finished, next(self._order), Completed(task, answer, finished)))

    def poll(self) -> list[Completed]:
        """Advance the clock to the next completion."""
        if not self._running:
            return []
        finished, _, completed = heapq.heappop(self._running)
        self._clock_s = max(self._clock_s, finished)
        return [completed]
