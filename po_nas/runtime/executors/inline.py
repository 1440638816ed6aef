"""Tasks done in this process."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from po_nas.runtime.executors.base import Completed, Executor, Task, Workload, execute

__all__ = ["InlineExecutor"]


class InlineExecutor(Executor):
    """Does one task after the other in this process, in the order of submission.

    Its clock is the sum of the tasks' cost in seconds: what a single worker would have spent.
    """

    synchronous: ClassVar[bool] = True

    def __init__(self, workload: Workload, **settings: Any) -> None:
        super().__init__(workload, **settings)
        self._queue: deque[Task] = deque()

    def submit(self, task: Task, *, submitted_s: float | None = None) -> None:
        """Queue a task."""
        self._queue.append(task)

    def poll(self) -> list[Completed]:
        """Do the next task."""
        if not self._queue:
            return []
        task = self._queue.popleft()
        answer = execute(self.workload, task, self.timeout_s)
        self._clock_s += answer.cost_s
        return [Completed(task, answer, self._clock_s)]
