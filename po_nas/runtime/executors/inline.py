"""Evaluation in this process."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from po_nas.core.objective import Objective
from po_nas.runtime.executors.base import Completed, Executor, Job, evaluate

__all__ = ["InlineExecutor"]


class InlineExecutor(Executor):
    """Evaluates one job after the other in this process, in the order of submission.

    Its clock is the sum of the objective's cost in seconds: what a single worker would have spent.
    """

    synchronous: ClassVar[bool] = True

    def __init__(self, objective: Objective, **settings: Any) -> None:
        super().__init__(objective, **settings)
        self._queue: deque[Job] = deque()

    def submit(self, job: Job, *, submitted_s: float | None = None) -> None:
        """Queue a job."""
        self._queue.append(job)

    def poll(self) -> list[Completed]:
        """Evaluate the next job."""
        if not self._queue:
            return []
        job = self._queue.popleft()
        outcome, seconds, details = evaluate(self.objective, job, self.timeout_s)
        self._clock_s += outcome.cost_s
        return [Completed(job.number, outcome, seconds, self._clock_s, details, job.attempt)]

    def cancel(self, number: int) -> bool:
        """Drop a queued job."""
        before = len(self._queue)
        self._queue = deque(job for job in self._queue if job.number != number)
        return len(self._queue) < before
