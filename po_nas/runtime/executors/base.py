"""The contract of an executor: a workload that its workers hold, tasks submitted to them, answers polled."""

from __future__ import annotations

import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from po_nas.errors import ExecutorError, described

__all__ = [
    "Answer",
    "Completed",
    "Executor",
    "ExecutorOptions",
    "Lost",
    "Task",
    "Timeout",
    "Workload",
    "execute",
    "timed_out",
]

Timeout: TypeAlias = Annotated[float, Field(gt=0, le=threading.TIMEOUT_MAX)]
"""Real seconds that one task may take."""


class ExecutorOptions(BaseModel):
    """Options of an executor; subclasses add fields with defaults and descriptions. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    timeout_s: Annotated[Timeout | None, Field(description="real seconds after which one evaluation fails")] = None


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for a worker; JSON-serialisable, so that it can travel to another process or machine.

    Attributes:
        name: Its identity, which may be part of a file name: ``trial-000003``. No two tasks that an executor holds at
            a time have the same, and an executor that outlives a session may know a task by it in the next.
        kind: What is to be done, by a name that the executor's workload knows: ``evaluate``, ``score``, ``train``.
        payload: What it is to be done with: JSON values.
        attempt: Counts from 1; a task whose worker was lost is tried again.
    """

    name: str
    kind: str
    payload: Mapping[str, Any]
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a task.

    Attributes:
        value: The result: JSON values, by a layout that belongs to the task's kind; empty for a failure.
        cost_s: What the task cost in the workload's own seconds: those recorded in a table, or measured.
        failure: Why there is no result, None where there is one.
        seconds: Real seconds spent by the worker.
        details: A traceback, where the task raised.
    """

    value: Mapping[str, Any] = field(default_factory=dict)
    cost_s: float = 0.0
    failure: str | None = None
    seconds: float = 0.0
    details: str | None = None

    @classmethod
    def failed(cls, failure: str, cost_s: float = 0.0, seconds: float = 0.0, details: str | None = None) -> Answer:
        """A failure: the reason in words, and the rest as in `Answer`."""
        return cls({}, cost_s, failure, seconds, details)


class Workload(ABC):
    """What workers hold and do tasks with: an objective, say. Each worker has its own copy, made by pickling.

    A subclass whose state cannot be pickled, or is better built anew than sent, says so with ``__reduce__``.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What messages call it."""

    @abstractmethod
    def run(self, task: Task) -> Answer:
        """Do a task; `Answer.seconds` and `Answer.details` are filled in by the caller.

        Raises whatever goes wrong, which becomes a failure, and `ExecutorError` for a kind of task that it does not
        know.
        """


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished task.

    Attributes:
        task: As it was last tried; `Task.attempt` says how often.
        answer: What came of it; its `seconds` include attempts whose worker was lost.
        clock_s: The executor's clock when it finished (virtual for `simulated`).
    """

    task: Task
    answer: Answer
    clock_s: float


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt at a task whose worker was lost; the task is tried again."""

    task: Task
    reason: str
    clock_s: float


def _ignore(lost: Lost) -> None:
    """The `on_lost` of an executor to which nobody listens."""


class Executor(ABC):
    """Runs the tasks of a workload.

    `workers` is the capacity. A synchronous executor is asked for a new batch only when the last one is complete; an
    asynchronous one is handed a trial whenever a worker is free. `timeout_s` (real seconds, None: no limit) bounds one
    task; one that takes longer fails. `out` is the run directory, if there is one. `on_lost` is called by `poll` for
    every attempt that is lost and repeated.

    `po_nas.testing.ExecutorConformance` checks the contract.
    """

    synchronous: ClassVar[bool]
    needs_directory: ClassVar[bool] = False
    """Whether it cannot do without a run directory; a comparison has none for its searches."""
    remote: ClassVar[bool] = False
    """Whether tasks are done outside of this process, so that long computations are better handed to it."""
    by_value: ClassVar[bool] = False
    """Whether the workload is sent with functions of notebooks; otherwise workers must be able to import those."""
    pieces: ClassVar[int] = 4
    """Into how many tasks for each worker a large computation is cut: more balance better, fewer cost less."""
    Options: ClassVar[type[ExecutorOptions]] = ExecutorOptions

    def __init__(
        self, workload: Workload, *, workers: int = 1, options: ExecutorOptions | None = None, out: Path | None = None
    ) -> None:
        self.workload = workload
        self.workers = workers
        self.options = options if options is not None else self.Options()
        self.timeout_s = self.options.timeout_s
        self.out = out
        self.on_lost: Callable[[Lost], None] = _ignore
        self._clock_s = 0.0
        self._kept: list[Completed] = []

    @property
    def parallel(self) -> int:
        """How many tasks share the real time: 1 where they are done in this process."""
        return 1

    @property
    def clock_s(self) -> float:
        """The executor's clock in seconds; submissions and completions are stamped with it."""
        return self._clock_s

    def restore_clock(self, clock_s: float) -> None:
        """Set the clock to where an earlier process left it."""
        self._clock_s = clock_s

    def open(self) -> None:  # noqa: B027 - most executors need nothing
        """Start what the executor needs; `workers` is final then. May be called again, to no effect.

        Raises `ExecutorError` when it cannot be had.
        """

    def completed(self) -> list[Completed]:
        """What `poll` returns, or what `finish` kept for later."""
        kept, self._kept = self._kept, []
        return kept or self.poll()

    def finish(self, tasks: Sequence[Task]) -> Iterator[Completed]:
        """Submit tasks and wait for them: each as it is complete; others that complete meanwhile are for `completed`.

        Raises `ExecutorError` as `poll` does, and when the executor is closed.
        """
        for task in tasks:
            self.submit(task)
        missing = {task.name for task in tasks}
        while missing:
            news = self.poll()
            if not news:
                raise ExecutorError(f"the executor was closed before {len(missing)} tasks were complete")
            mine = [done for done in news if done.task.name in missing]
            self._kept += [done for done in news if done.task.name not in missing]
            missing -= {done.task.name for done in mine}
            yield from mine

    @abstractmethod
    def submit(self, task: Task, *, submitted_s: float | None = None) -> None:
        """Accept a task. `submitted_s` is given for one that an earlier process had submitted at that clock time."""

    @abstractmethod
    def poll(self) -> list[Completed]:
        """Wait until at least one task is complete and return what is; empty when nothing was submitted.

        Raises `ExecutorError` when no worker is left and none can be started.
        """

    def close(self) -> None:  # noqa: B027 - most executors hold nothing
        """Release what the executor holds, whatever it is doing. May be called again."""


def execute(workload: Workload, task: Task, timeout_s: float | None) -> Answer:
    """Do a task in this process; whatever goes wrong becomes a failure.

    With a timeout (real seconds) the task runs in a daemon thread. One that overruns is abandoned, not killed: Python
    cannot stop a thread, so it may go on using its core until the process ends.
    """
    started = time.perf_counter()
    if timeout_s is None:
        answer = _guarded(workload, task)
        return replace(answer, seconds=time.perf_counter() - started)
    box: list[Answer | BaseException] = []

    def run() -> None:
        try:
            box.append(_guarded(workload, task))
        except BaseException as error:
            # Such as KeyboardInterrupt: it ends this process, as it does without a limit.
            box.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    seconds = time.perf_counter() - started
    if not box:
        return timed_out(timeout_s, seconds)
    found = box[0]
    if isinstance(found, BaseException):
        raise found
    return replace(found, seconds=seconds)


def timed_out(timeout_s: float, seconds: float) -> Answer:
    """The failure of a task that took too long: its limit and the real seconds that it took."""
    return Answer.failed(f"timeout: no result after {timeout_s:g} s", timeout_s, seconds)


def _guarded(workload: Workload, task: Task) -> Answer:
    try:
        return workload.run(task)
    except (Exception, SystemExit) as error:
        return Answer.failed(described(error), details=_traceback())


def _traceback() -> str:
    """The traceback of the exception that is handled; less of it where the exception itself cannot be shown."""
    try:
        return traceback.format_exc()
    except Exception:
        return "".join(traceback.format_stack())
