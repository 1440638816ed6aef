"""Evaluation in this process."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from po_nas.core.executors.base import Completed, Executor, Job, evaluate
from po_nas.core.objective import Objective

__all__ = ["InlineExecutor"]


class InlineExecutor(Executor):
    """Evaluates one job after the other in this process, in the order of submission.

    Its clock is the sum of the objective's cost in seconds: what a single worker would have spent.
    """

    synchronous: ClassVar[bool] = True

    def __init__(self, objective: Objective, *, workers: int = 1, timeout_s: float | None = None) -> None:
        super().__init__(objective, workers=workers, timeout_s=timeout_s)
        self._queue: deque[Job] = deque()
        self._clock_s = 0.0

    @property
    def clock_s(self) -> float:
        """Summed cost so far, s."""
        return self._clock_s

    def restore_clock(self, clock_s: float) -> None:
        """Continue from an earlier sum."""
        self._clock_s = clock_s

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
        return [Completed(job.number, outcome, seconds, self._clock_s, details)]

    def cancel(self, number: int) -> bool:
        """Drop a queued job."""
        before = len(self._queue)
        self._queue = deque(job for job in self._queue if job.number != number)
        return len(self._queue) < before
