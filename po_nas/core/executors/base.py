"""The contract of an executor: submit jobs, poll for what is complete."""

from __future__ import annotations

import math
import threading
import time
import traceback
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from po_nas.core.objective import Objective, Outcome

__all__ = ["Completed", "Executor", "Job", "evaluate"]


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to be made; JSON-serialisable, so that it can travel to another process or machine."""

    number: int
    architecture: str
    seed: int
    fidelity: float | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A finished job.

    `objective_s` are the real seconds spent in the objective, `clock_s` the executor's clock when it finished (virtual
    for `simulated`), `details` a traceback for the run's artifacts, if there is one.
    """

    number: int
    outcome: Outcome
    objective_s: float
    clock_s: float
    details: str | None = None


class Executor(ABC):
    """Runs evaluations.

    `workers` is the capacity. A synchronous executor is asked for a new batch only when the last one is complete; an
    asynchronous one is handed a trial whenever a worker is free. `timeout_s` (real seconds, None: no limit) bounds one
    evaluation; one that takes longer fails.
    """

    synchronous: ClassVar[bool]

    def __init__(self, objective: Objective, *, workers: int = 1, timeout_s: float | None = None) -> None:
        self.objective = objective
        self.workers = workers
        self.timeout_s = timeout_s

    @property
    @abstractmethod
    def clock_s(self) -> float:
        """The executor's clock in seconds; submissions and completions are stamped with it."""

    @abstractmethod
    def restore_clock(self, clock_s: float) -> None:
        """Set the clock to where an earlier process left it."""

    @abstractmethod
    def submit(self, job: Job, *, submitted_s: float | None = None) -> None:
        """Accept a job. `submitted_s` is given for a job that an earlier process had submitted at that clock time."""

    @abstractmethod
    def poll(self) -> list[Completed]:
        """Wait until at least one job is complete and return what is; empty when nothing was submitted."""

    @abstractmethod
    def cancel(self, number: int) -> bool:
        """Drop a job that has not started; False when it has or is unknown."""

    def close(self) -> None:  # noqa: B027 - most executors hold nothing
        """Release what the executor holds."""


def evaluate(objective: Objective, job: Job, timeout_s: float | None) -> tuple[Outcome, float, str | None]:
    """Evaluate a job; whatever goes wrong becomes a failed outcome. Returns outcome, real seconds, traceback.

    With a timeout the evaluation runs in a daemon thread. One that overruns is abandoned, not killed: Python cannot
    stop a thread, so it may go on using its core until the process ends.
    """
    started = time.perf_counter()
    if timeout_s is None:
        outcome, details = _guarded(objective, job)
        return outcome, time.perf_counter() - started, details
    box: list[tuple[Outcome, str | None]] = []
    thread = threading.Thread(target=lambda: box.append(_guarded(objective, job)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    seconds = time.perf_counter() - started
    if thread.is_alive() or not box:
        return Outcome.failed(f"timeout: no result after {timeout_s:g} s", timeout_s), seconds, None
    return box[0][0], seconds, box[0][1]


def _guarded(objective: Objective, job: Job) -> tuple[Outcome, str | None]:
    try:
        architecture = objective.space.from_string(job.architecture)
        outcome = objective.evaluate(architecture, seed=job.seed, fidelity=job.fidelity)
        if not isinstance(outcome, Outcome):
            return Outcome.failed(f"the objective returned {type(outcome).__name__}, expected an Outcome"), None
        if outcome.failure is not None:
            return Outcome.failed(outcome.failure, outcome.cost_s), None
        return Outcome.ok(cost_s=outcome.cost_s, **{"validation": math.nan, **outcome.metrics}), None
    except (Exception, SystemExit) as error:
        return Outcome.failed(f"{type(error).__name__}: {error}"), traceback.format_exc()
