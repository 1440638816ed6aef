"""Tasks done in this process."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from po_nas.runtime.executors.base import Answer, Completed, Executor, Task, Workload, execute

__all__ = ["InlineExecutor", "execute_here"]

_DEATHS = 2
"""So often may a task end this process; then it has failed."""


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
        answer = execute_here(self, task)
        self._clock_s += answer.cost_s
        return [Completed(task, answer, self._clock_s)]


def execute_here(executor: Executor, task: Task) -> Answer:
    """Do a task in this process, unless it has ended the process of the search twice before.

    A file in the run directory says what is being done. It is gone when the task is over, an interruption included, so
    one that a resumed search finds names a task during which its process ended: by a crash of native code, by
    ``os._exit`` or by a signal.
    """
    if executor.out is None:
        return execute(executor.workload, task, executor.timeout_s)
    # One file for each task: after a death, others may be done before it is this one's turn again.
    marker = executor.out / "artifacts" / "in_progress" / f"{task.name}.json"
    deaths = _deaths(marker)
    if deaths >= _DEATHS:
        return Answer.failed(f"quarantined: ended the process of the search {deaths} times")
    with suppress(OSError):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps({"deaths": deaths}), encoding="utf-8")
    try:
        return execute(executor.workload, task, executor.timeout_s)
    finally:
        with suppress(OSError):
            marker.unlink(missing_ok=True)


def _deaths(marker: Path) -> int:
    """How often the process ended during the task."""
    try:
        return int(json.loads(marker.read_text(encoding="utf-8"))["deaths"]) + 1
    except (OSError, ValueError, LookupError, TypeError, RecursionError, OverflowError):
        return 0
