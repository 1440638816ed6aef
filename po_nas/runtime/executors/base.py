"""The contract of an executor: submit jobs, poll for what is complete."""

from __future__ import annotations

import math
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from po_nas.core.objective import Objective, Outcome
from po_nas.errors import ExecutorError

if TYPE_CHECKING:
    from po_nas.runtime.config import SearchConfig

__all__ = [
    "Answer",
    "Completed",
    "Executor",
    "ExecutorOptions",
    "Job",
    "Lost",
    "Scoring",
    "Timeout",
    "Work",
    "evaluate",
    "timed_out",
]

Timeout: TypeAlias = Annotated[float, Field(gt=0, le=threading.TIMEOUT_MAX)]
"""Real seconds that one evaluation may take."""


class ExecutorOptions(BaseModel):
    """Options of an executor; subclasses add fields with defaults and descriptions. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    timeout_s: Annotated[Timeout | None, Field(description="real seconds after which one evaluation fails")] = None


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to be made; JSON-serialisable, so that it can travel to another process or machine.

    `attempt` counts from 1; a job whose worker was lost is tried again.
    """

    number: int
    architecture: str
    seed: int
    fidelity: float | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Scoring:
    """Training-free metrics of several architectures to be computed; JSON-serialisable.

    `number` is negative, so that it is no trial's.
    """

    number: int
    architectures: tuple[str, ...]
    metrics: tuple[str, ...]
    attempt: int = 1


Work: TypeAlias = Job | Scoring


class Answer(NamedTuple):
    """What came of a job: the outcome, real seconds spent in the objective, and a traceback if there is one."""

    outcome: Outcome
    seconds: float
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished job.

    `objective_s` are the real seconds spent in the objective, lost attempts included; `clock_s` the executor's clock
    when it finished (virtual for `simulated`), `details` a traceback for the run's artifacts, if there is one, and
    `attempts` how often it was tried.
    """

    number: int
    outcome: Outcome
    objective_s: float
    clock_s: float
    details: str | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt whose worker was lost; the job is tried again."""

    number: int
    attempt: int
    reason: str
    clock_s: float


def _ignore(lost: Lost) -> None:
    """Nobody wants to know."""


class Executor(ABC):
    """Runs evaluations.

    `workers` is the capacity. A synchronous executor is asked for a new batch only when the last one is complete; an
    asynchronous one is handed a trial whenever a worker is free. `timeout_s` (real seconds, None: no limit) bounds one
    evaluation; one that takes longer fails.

    `config` is the search that the objective belongs to, from which other processes build it anew; without one the
    objective itself has to be sent to them. `out` is the run directory, if there is one. `on_lost` is called by `poll`
    for every attempt that is lost and repeated.

    `po_nas.testing.ExecutorConformance` checks the contract.
    """

    synchronous: ClassVar[bool]
    needs_directory: ClassVar[bool] = False
    """Whether it cannot do without a run directory; a comparison has none for its searches."""
    scores: ClassVar[bool] = False
    """Whether it takes `Scoring` too: training-free metrics are then computed where evaluations are made."""
    scorings: ClassVar[int] = 4
    """Into how many pieces for each worker metrics of many architectures are cut: more balance, fewer cost less."""
    Options: ClassVar[type[ExecutorOptions]] = ExecutorOptions

    def __init__(
        self,
        objective: Objective,
        *,
        workers: int = 1,
        options: ExecutorOptions | None = None,
        config: SearchConfig | None = None,
        out: Path | None = None,
    ) -> None:
        self.objective = objective
        self.workers = workers
        self.options = options if options is not None else self.Options()
        self.timeout_s = self.options.timeout_s
        self.config = config
        self.out = out
        self.on_lost: Callable[[Lost], None] = _ignore
        self._clock_s = 0.0
        self._kept: list[Completed] = []

    @property
    def parallel(self) -> int:
        """How many evaluations share the real time: 1 where they are made in this process."""
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

    def finish(self, jobs: Sequence[Scoring]) -> list[Completed]:
        """Wait until these jobs are complete; trials that complete meanwhile are kept for `completed`.

        Raises `ExecutorError` as `poll` does, and when the executor is closed. Only where `scores` is true.
        """
        for job in jobs:
            self.submit(job)  # type: ignore[arg-type] # those that score take them
        missing = {job.number for job in jobs}
        found: list[Completed] = []
        while missing:
            news = self.poll()
            if not news:
                raise ExecutorError("the executor was closed while it computed training-free metrics")
            for done in news:
                (found if done.number in missing else self._kept).append(done)
                missing.discard(done.number)
        return found

    @abstractmethod
    def submit(self, job: Job, *, submitted_s: float | None = None) -> None:
        """Accept a job. `submitted_s` is given for a job that an earlier process had submitted at that clock time."""

    @abstractmethod
    def poll(self) -> list[Completed]:
        """Wait until at least one job is complete and return what is; empty when nothing was submitted.

        Raises `ExecutorError` when no worker is left and none can be started.
        """

    @abstractmethod
    def cancel(self, number: int) -> bool:
        """Drop a job that has not started; False when it has or is unknown."""

    def close(self) -> None:  # noqa: B027 - most executors hold nothing
        """Release what the executor holds, whatever it is doing. May be called again."""


def evaluate(objective: Objective, job: Work, timeout_s: float | None) -> Answer:
    """Do a job; whatever goes wrong becomes a failed outcome. That of a `Scoring` has metrics by ``ROW NAME``.

    With a timeout the evaluation runs in a daemon thread. One that overruns is abandoned, not killed: Python cannot
    stop a thread, so it may go on using its core until the process ends.
    """
    started = time.perf_counter()
    if timeout_s is None:
        outcome, details = _guarded(objective, job)
        return Answer(outcome, time.perf_counter() - started, details)
    box: list[tuple[Outcome, str | None]] = []
    thread = threading.Thread(target=lambda: box.append(_guarded(objective, job)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    seconds = time.perf_counter() - started
    if thread.is_alive() or not box:
        return timed_out(timeout_s, seconds)
    return Answer(box[0][0], seconds, box[0][1])


def timed_out(timeout_s: float, seconds: float) -> Answer:
    """The failure of an evaluation that took too long."""
    return Answer(Outcome.failed(f"timeout: no result after {timeout_s:g} s", timeout_s), seconds)


def _guarded(objective: Objective, job: Work) -> tuple[Outcome, str | None]:
    try:
        if isinstance(job, Scoring):
            return _scored(objective, job), None
        architecture = objective.space.from_string(job.architecture)
        outcome = objective.evaluate(architecture, seed=job.seed, fidelity=job.fidelity)
        if not isinstance(outcome, Outcome):
            return Outcome.failed(f"the objective returned {type(outcome).__name__}, expected an Outcome"), None
        if outcome.failure is not None:
            return Outcome.failed(outcome.failure, outcome.cost_s), None
        return Outcome.ok(cost_s=outcome.cost_s, **{"validation": math.nan, **outcome.metrics}), None
    except (Exception, SystemExit) as error:
        return Outcome.failed(f"{type(error).__name__}: {error}"), traceback.format_exc()


def _scored(objective: Objective, job: Scoring) -> Outcome:
    source = objective.proxies
    assert source is not None  # only such objectives are asked
    before = source.computed
    found = source.values([objective.space.from_string(text) for text in job.architectures], job.metrics)
    values = {
        f"{row} {name}": float(value)
        for row, values in enumerate(found)
        for name, value in zip(job.metrics, values, strict=True)
        if math.isfinite(value)
    }
    return Outcome({"computed": float(source.computed - before), **values})
