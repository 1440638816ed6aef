"""A conformance kit for executors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.runtime import executors
from po_nas.runtime.executors import Completed, Executor, Job, Scoring
from po_nas.spaces.base import Architecture
from po_nas.testing.searchers import ToyObjective

__all__ = ["ExecutorConformance", "Scripted"]

_FOREVER_S = 3600.0


class CodeMetrics(ProxySource):
    """The sum of an architecture's code and its last digit, which is missing where it is 0."""

    names: tuple[str, ...] = ("sum", "last")
    origin: str = "codes"

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Scores (n,) by name."""
        values = [{"sum": float(sum(a.code)), "last": a.code[-1] or np.nan} for a in architectures]
        return {name: np.array([row[name] for row in values], np.float64) for name in names}


class Scripted(ToyObjective):
    """A toy whose evaluations do what their seed says, by `SEEDS`; any other seed is an ordinary evaluation."""

    SEEDS: ClassVar[Mapping[str, int]] = {"raise": 1, "exit": 2, "nan": 3, "hang": 4, "sleep": 5}

    def __init__(self) -> None:
        super().__init__(spaces.get("transnas_micro"))

    @property
    def proxies(self) -> CodeMetrics:
        """Two proxies without meaning."""
        return CodeMetrics()

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """The toy's value plus the fidelity, unless the seed has a meaning."""
        match next((name for name, number in self.SEEDS.items() if number == seed), None):
            case "raise":
                raise RuntimeError("it was to raise")
            case "exit":
                raise SystemExit(7)
            case "nan":
                return Outcome.ok(float("nan"))
            case "hang":
                time.sleep(_FOREVER_S)
            case "sleep":
                time.sleep(0.1)
        outcome = super().evaluate(architecture, seed=seed)
        return Outcome.ok(outcome.metrics["validation"] + (fidelity or 0.0), outcome.cost_s)


class ExecutorConformance:
    """Checks an executor against the contract of `po_nas.runtime.executors.Executor`; subclass it in a test module.

    Set `executor` to a registered name, `options` to options that make it quick, and `workers` to a number that it can
    have; `timeout_s` is the time limit where a limit is tried, longer than an ordinary evaluation takes. An executor is
    opened for each test.
    """

    executor: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    workers: ClassVar[int] = 2
    timeout_s: ClassVar[float] = 0.5

    @contextmanager
    def opened(self, folder: Path, **options: Any) -> Iterator[Executor]:
        """An executor of `Scripted`, open; `folder` is empty."""
        kind = executors.registry.get(self.executor)
        made = kind(Scripted(), workers=self.workers, options=kind.Options(**{**self.options, **options}), out=folder)
        try:
            made.open()
            yield made
        finally:
            made.close()

    def _job(self, number: int, act: str | None = None, fidelity: float | None = None) -> Job:
        space = spaces.get("transnas_micro")
        seed = 100 + number if act is None else Scripted.SEEDS[act]
        return Job(number, space.to_string(list(space.enumerate())[number]), seed, fidelity)

    def _all(self, executor: Executor) -> dict[int, Completed]:
        found: dict[int, Completed] = {}
        while completed := executor.poll():
            for done in completed:
                assert done.number not in found, f"trial {done.number} completed twice"
                found[done.number] = done
        return found

    def _run(self, executor: Executor, jobs: Iterable[Job]) -> dict[int, Completed]:
        for job in jobs:
            executor.submit(job)
        return self._all(executor)

    def test_every_job_completes_once_as_the_objective_says(self, tmp_path: Path) -> None:
        """Outcomes are those of the objective itself, seed and fidelity included; what raises, exits or is not finite
        is a failure and stops nothing; the clock does not go back."""
        acts = [None, "raise", None, "exit", "nan", None]
        jobs = [self._job(number, act, 0.5 if number == 2 else None) for number, act in enumerate(acts)]
        with self.opened(tmp_path) as executor:
            assert executor.poll() == [], "nothing was submitted"
            before = executor.clock_s
            found = self._run(executor, jobs)
            assert set(found) == set(range(len(jobs)))
            assert executor.clock_s >= max(done.clock_s for done in found.values()) >= before
            assert executor.poll() == []
        objective = Scripted()
        for job, act in zip(jobs, acts, strict=True):
            done = found[job.number]
            assert done.attempts == 1
            assert done.objective_s >= 0
            if act is None:
                architecture = objective.space.from_string(job.architecture)
                assert done.outcome == objective.evaluate(architecture, seed=job.seed, fidelity=job.fidelity)
            else:
                assert done.outcome.failure is not None
        assert "it was to raise" in str(found[1].outcome.failure)
        assert "it was to raise" in (found[1].details or ""), "the traceback is kept"
        assert "SystemExit: 7" in str(found[3].outcome.failure)

    def test_jobs_can_be_added_while_others_run(self, tmp_path: Path) -> None:
        """More jobs than workers, submitted as results come in; what is cancelled is never run, and known as such."""
        with self.opened(tmp_path) as executor:
            assert executor.workers >= 1
            for number in range(executor.workers + 2):
                executor.submit(self._job(number, "sleep"))
            last = executor.workers + 1
            dropped = executor.cancel(last)
            assert not executor.cancel(99)
            assert executor.poll()
            executor.submit(self._job(last + 1))
            found = self._all(executor)
        assert last + 1 in found
        assert (last in found) != dropped

    def test_metrics_are_computed_beside_trials(self, tmp_path: Path) -> None:
        """An executor that scores does so while trials run, and loses none of these; others need not."""
        if not executors.registry.get(self.executor).scores:
            return
        space = spaces.get("transnas_micro")
        texts = [space.to_string(list(space.enumerate())[number]) for number in range(5)]
        with self.opened(tmp_path) as executor:
            executor.submit(self._job(0, "sleep"))
            pieces = [Scoring(-1, tuple(texts[:3]), ("sum", "last")), Scoring(-2, tuple(texts[3:]), ("last",))]
            found = {done.number: done.outcome for done in executor.finish(pieces)}
            broken = executor.finish([Scoring(-3, ("no architecture",), ("sum",))])
            trials = executor.completed()
            assert [done.number for done in trials] == [0]
            assert executor.completed() == []
        for piece in pieces:
            values = CodeMetrics().values([space.from_string(text) for text in piece.architectures], piece.metrics)
            expected = {
                f"{row} {name}": value
                for row, line in enumerate(values.tolist())
                for name, value in zip(piece.metrics, line, strict=True)
                if value == value
            }
            assert found[piece.number].metrics == {"computed": 0.0, **expected}
        assert [done.outcome.failure is not None for done in broken] == [True]

    def test_the_clock_goes_on_where_it_was(self, tmp_path: Path) -> None:
        """A resumed search does not begin at zero, and completes what was submitted before."""
        with self.opened(tmp_path) as executor:
            executor.restore_clock(1000.0)
            executor.submit(self._job(0), submitted_s=999.0)
            (done,) = self._all(executor).values()
            assert 999.0 <= done.clock_s < 1000.0 + _FOREVER_S
            assert executor.clock_s >= 1000.0

    def test_a_hanging_evaluation_fails_and_the_next_is_made(self, tmp_path: Path) -> None:
        """After `timeout_s` a trial has failed, and cost that much."""
        with self.opened(tmp_path, timeout_s=self.timeout_s) as executor:
            found = self._run(executor, [self._job(0, "hang"), self._job(1)])
        assert "timeout" in str(found[0].outcome.failure)
        assert found[0].outcome.cost_s == self.timeout_s
        assert found[1].outcome.failure is None

    def test_closing_drops_what_runs(self, tmp_path: Path) -> None:
        """Closing does not wait for a trial; closing again does nothing."""
        with self.opened(tmp_path) as executor:
            executor.submit(self._job(0, "sleep"))
        executor.close()
