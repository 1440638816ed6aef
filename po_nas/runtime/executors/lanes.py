"""Tasks done by workers outside of this process: what `process`, `ray` and `submitit` have in common."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveInt

from po_nas.errors import ExecutorError, WorkerLostError, described
from po_nas.runtime.executors.base import Answer, Completed, Executor, ExecutorOptions, Lost, Task, Workload
from po_nas.runtime.executors.messages import check_ready

__all__ = ["LaneExecutor", "LaneOptions"]

_log = logging.getLogger(__name__)

_PATIENCE_S = 10.0
"""Seconds that closing may take."""


class LaneOptions(ExecutorOptions):
    """What can be said of any kind of worker."""

    workers: PositiveInt | None = Field(
        None, description="trials at a time; default: `batch`, or one for each GPU where batch is 1"
    )
    gpus_per_trial: NonNegativeFloat | None = Field(
        None, description="GPUs of one trial; 0.5 lets two share one; default: 1 where there are GPUs"
    )
    cpus_per_trial: PositiveInt | None = Field(None, description="CPU threads of one trial")
    attempts: PositiveInt = Field(3, description="a trial that loses its worker so often has failed")


class LaneExecutor(Executor):
    """Workers on real time: a thread of this process for each, feeding it task after task.

    Subclasses implement `attempt`, which does one task on the worker of a lane and waits for the answer, and `stop`,
    which kills the worker. An attempt whose worker is lost is repeated, at once and on whichever worker is free,
    `Options.attempts` times in all; then the task has failed. A worker whose task raised is replaced, because what
    went wrong (a CUDA error, say) may have left it unusable. A lane whose worker cannot be started is given up; the
    search goes on with the others and ends with `ExecutorError` when none is left.

    Its clock are the real seconds of the search, those of interrupted sessions up to their last event included.
    """

    synchronous: ClassVar[bool] = False
    remote: ClassVar[bool] = True
    Options: ClassVar[type[ExecutorOptions]] = LaneOptions
    options: LaneOptions

    def __init__(self, workload: Workload, **settings: Any) -> None:
        super().__init__(workload, **settings)
        self._began = time.perf_counter()
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition()
        self._news: queue.SimpleQueue[Completed | Lost | ExecutorError] = queue.SimpleQueue()
        self._lanes: list[threading.Thread] = []
        self._closing = threading.Event()
        self._pending = 0
        self._broken: ExecutorError | None = None
        self._lost_s: dict[str, float] = {}

    # -- for subclasses -------------------------------------------------------------------------------------------

    @abstractmethod
    def attempt(self, lane: int, task: Task) -> Answer:
        """Do a task on the worker of `lane` (0, 1, …), started if need be, and wait for the answer.

        Called in a thread of the lane. A timeout is a failure; the worker is killed. Raises `WorkerLostError`
        when the worker went away, `ExecutorError` when none can be started.
        """

    @abstractmethod
    def stop(self, lane: int) -> None:
        """Kill the worker of a lane, if it has one; called in the lane's thread."""

    def prepare(self) -> None:
        """Connect to what runs the workers; called once, before `room`."""

    def room(self) -> int:
        """How many GPUs' worth of trials there is room for; 0 where there are no GPUs."""
        return 0

    def start(self, lane: int, begin: Callable[[], str], what: str) -> None:
        """Have `begin` start the worker of a lane, up to `Options.attempts` times, and check its first words.

        `begin` returns these, or raises `WorkerLostError`. Raises `ExecutorError`, about `what`, when all are lost.
        """
        for left in reversed(range(self.options.attempts)):
            try:
                text = begin()
            except WorkerLostError as error:
                self.stop(lane)
                if self.closing:
                    raise
                if not left:
                    raise ExecutorError(what.format(error)) from error
                continue
            check_ready(text)
            return

    def give_up(self, error: ExecutorError) -> None:
        """End the search: nothing can run any more. Called in any thread; `poll` raises the error."""
        self._broken = error
        self._news.put(error)

    @property
    def closing(self) -> bool:
        """Whether the executor is being closed: an `attempt` should give up, by `WorkerLostError`."""
        return self._closing.is_set()

    # -- the contract ---------------------------------------------------------------------------------------------

    @property
    def parallel(self) -> int:
        return self.workers

    @property
    def clock_s(self) -> float:
        return self._clock_s + time.perf_counter() - self._began

    def restore_clock(self, clock_s: float) -> None:
        self._clock_s, self._began = clock_s, time.perf_counter()

    def open(self) -> None:
        """Settle how many workers there are and start their lanes; a worker itself starts with its first task."""
        if self._lanes:
            return
        self.prepare()
        self.workers = self.options.workers or (self.workers if self.workers > 1 else max(1, self.room()))
        self._lanes = [
            threading.Thread(target=self._work, args=(lane,), name=f"lane-{lane}", daemon=True)
            for lane in range(self.workers)
        ]
        for thread in self._lanes:
            thread.start()

    def submit(self, task: Task, *, submitted_s: float | None = None) -> None:
        self._pending += 1
        with self._changed:
            self._tasks.append(task)
            self._changed.notify()

    def poll(self) -> list[Completed]:
        found: list[Completed] = []
        while self._pending and not found and not self.closing:
            self.open()
            # What is complete goes into the journal before any error is raised.
            if self._broken is not None and self._news.empty():
                raise self._broken
            self._sort(self._news.get(), found)
            while not self._news.empty():
                self._sort(self._news.get(), found)
        return found

    def _sort(self, news: Completed | Lost | ExecutorError, found: list[Completed]) -> None:
        if isinstance(news, Completed):
            self._pending -= 1
            found.append(news)
        elif isinstance(news, Lost):
            self.on_lost(news)
        elif self._broken is None and self.workers > 1:
            self.workers -= 1
            _log.warning("a worker is given up (%s); going on with %d", news, self.workers)
        else:
            self._broken = self._broken or news

    def close(self) -> None:
        """Kill the workers and end the lanes; tasks that are not complete are dropped."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        # What runs the workers may be gone, and asking it to end them may take forever.
        patience = time.perf_counter() + _PATIENCE_S
        for thread in self._lanes:
            thread.join(max(0.0, patience - time.perf_counter()))

    # -- the lanes ------------------------------------------------------------------------------------------------

    def _work(self, lane: int) -> None:
        try:
            while (task := self._take()) is not None:
                if not self._run(lane, task):
                    break
        finally:
            self._end(lane)

    def _end(self, lane: int) -> None:
        """Stop the worker; a lane goes on even when that fails, for somebody waits for its task."""
        try:
            self.stop(lane)
        except Exception:
            _log.exception("the worker of lane %d could not be stopped", lane)

    def _run(self, lane: int, task: Task) -> bool:
        """Try a task; False when there will never be a worker in this lane."""
        started = time.perf_counter()
        try:
            answer = self.attempt(lane, task)
        except WorkerLostError as error:
            self._end(lane)
            self._lost(task, str(error), time.perf_counter() - started)
            return True
        except Exception as error:
            if not isinstance(error, ExecutorError):
                _log.error("%s failed", type(self).__name__, exc_info=error)
            trouble = error if isinstance(error, ExecutorError) else ExecutorError(described(error))
            # Another lane may have a worker to do it.
            self._put_back(task)
            self._news.put(trouble)
            return False
        if answer.details is not None:
            self._end(lane)
        whole = replace(answer, seconds=answer.seconds + self._lost_s.pop(task.name, 0.0))
        self._news.put(Completed(task, whole, self.clock_s))
        return True

    def _take(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or self._closing.is_set())
            return None if self._closing.is_set() else self._tasks.popleft()

    def _lost(self, task: Task, reason: str, seconds: float) -> None:
        if self._closing.is_set():
            return
        lost_s = self._lost_s.pop(task.name, 0.0) + seconds
        if task.attempt >= self.options.attempts:
            words = f"quarantined: lost its worker {task.attempt} times, at last: {reason}"
            self._news.put(Completed(task, Answer.failed(words, lost_s, lost_s), self.clock_s))
            return
        self._lost_s[task.name] = lost_s
        self._news.put(Lost(task, reason, self.clock_s))
        self._put_back(replace(task, attempt=task.attempt + 1))

    def _put_back(self, task: Task) -> None:
        with self._changed:
            self._tasks.appendleft(task)
            self._changed.notify()
