"""Tasks done in this process: one after the other, or as asynchronous workers on a virtual clock."""

from __future__ import annotations

import heapq
import itertools
import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from po_nas.runtime.executors.base import Answer, Completed, Executor, Task, Workload, execute

__all__ = ["InlineExecutor", "SimulatedExecutor", "execute_here"]

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
        self._queue.append(task)

    def poll(self) -> list[Completed]:
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
        answer = execute_here(self, task)
        finished = (self._clock_s if submitted_s is None else submitted_s) + answer.cost_s
        heapq.heappush(self._running, (finished, next(self._order), Completed(task, answer, finished)))

    def poll(self) -> list[Completed]:
        if not self._running:
            return []
        finished, _, completed = heapq.heappop(self._running)
        self._clock_s = max(self._clock_s, finished)
        return [completed]
