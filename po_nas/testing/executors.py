"""A conformance kit for executors."""

from __future__ import annotations

import dataclasses
import itertools
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
from po_nas.core.trial import Trial
from po_nas.runtime import executors
from po_nas.runtime.executors import Answer, Completed, Executor, Task, Workload
from po_nas.runtime.executors.objective_tasks import (
    ObjectiveWorkload,
    evaluation,
    outcome_of,
    scores_of,
    scoring,
)
from po_nas.spaces.base import Architecture
from po_nas.testing.searchers import ToyObjective

__all__ = ["ExecutorConformance", "Scripted", "ScriptedWorkload"]

_FOREVER_S = 3600.0


class CodeProxies(ProxySource):
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
    def proxies(self) -> CodeProxies:
        """Two proxies without meaning."""
        return CodeProxies()

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


def _architectures() -> list[Architecture]:
    return list(itertools.islice(spaces.get("transnas_micro").enumerate(), 100))


class ScriptedWorkload(Workload):
    """Evaluates and scores `Scripted`, and knows tasks of a third kind, ``train``: two epochs of its payload's rate."""

    name = "scripted"

    def __init__(self) -> None:
        self._objective = ObjectiveWorkload(Scripted())

    def run(self, task: Task) -> Answer:
        """Do a task; a rate below 0 raises."""
        if task.kind != "train":
            return self._objective.run(task)
        rate = task.payload["rate"]
        if rate < 0:
            raise ValueError("a rate below 0")
        curve = [{"epoch": epoch, "loss": rate / epoch} for epoch in (1, 2)]
        return Answer({"curve": curve, "name": task.name, "best": None}, cost_s=2.0)


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
        """An executor of `ScriptedWorkload`, open; `folder` is empty."""
        kind = executors.registry.get(self.executor)
        settings = kind.Options(**{**self.options, **options})
        made = kind(ScriptedWorkload(), workers=self.workers, options=settings, out=folder)
        try:
            made.open()
            yield made
        finally:
            made.close()

    def _trial(self, number: int, act: str | None = None, fidelity: float | None = None, attempt: int = 1) -> Task:
        space = spaces.get("transnas_micro")
        seed = 100 + number if act is None else Scripted.SEEDS[act]
        return evaluation(Trial(number, _architectures()[number], "random", seed, fidelity), space, attempt)

    def _all(self, executor: Executor) -> dict[str, Completed]:
        found: dict[str, Completed] = {}
        while completed := executor.poll():
            for done in completed:
                assert done.task.name not in found, f"{done.task.name} completed twice"
                found[done.task.name] = done
        return found

    def _run(self, executor: Executor, tasks: Iterable[Task]) -> dict[str, Completed]:
        for task in tasks:
            executor.submit(task)
        return self._all(executor)

    def test_every_task_completes_once_as_the_objective_says(self, tmp_path: Path) -> None:
        """Outcomes are those of the objective itself, seed and fidelity included; what raises, exits or is not finite
        is a failure and stops nothing; the clock does not go back."""
        acts = [None, "raise", None, "exit", "nan", None]
        tasks = [self._trial(number, act, 0.5 if number == 2 else None) for number, act in enumerate(acts)]
        with self.opened(tmp_path) as executor:
            assert executor.poll() == [], "nothing was submitted"
            before = executor.clock_s
            found = self._run(executor, tasks)
            assert set(found) == {task.name for task in tasks}
            assert executor.clock_s >= max(done.clock_s for done in found.values()) >= before
            assert executor.poll() == []
        objective = Scripted()
        for number, (task, act) in enumerate(zip(tasks, acts, strict=True)):
            done = found[task.name]
            assert done.task == task
            assert done.answer.seconds >= 0
            if act is None:
                asked = task.payload
                expected = objective.evaluate(_architectures()[number], seed=asked["seed"], fidelity=asked["fidelity"])
                assert outcome_of(done.answer) == expected
            else:
                assert done.answer.failure is not None
        raised, left = found[tasks[1].name].answer, found[tasks[3].name].answer
        assert "it was to raise" in str(raised.failure)
        assert "it was to raise" in (raised.details or ""), "the traceback is kept"
        assert "SystemExit: 7" in str(left.failure)

    def test_tasks_can_be_added_while_others_run(self, tmp_path: Path) -> None:
        """More tasks than workers, submitted as results come in."""
        with self.opened(tmp_path) as executor:
            assert executor.workers >= 1
            last = executor.workers + 1
            for number in range(last + 1):
                executor.submit(self._trial(number, "sleep"))
            early = executor.poll()
            assert early
            executor.submit(self._trial(last + 1))
            found = self._all(executor)
        assert len(early) + len(found) == last + 2

    def test_proxy_scores_are_computed_beside_trials(self, tmp_path: Path) -> None:
        """Scores are those of the objective's source, and no trial is lost that runs meanwhile."""
        space = spaces.get("transnas_micro")
        texts = [space.to_string(architecture) for architecture in _architectures()[:5]]
        with self.opened(tmp_path) as executor:
            executor.submit(self._trial(0, "sleep"))
            pieces = [scoring(texts[:3], ("sum", "last")), scoring(texts[3:], ("last",))]
            found = {done.task.name: done.answer for done in executor.finish(pieces)}
            (broken,) = executor.finish([scoring(("no architecture",), ("sum",))])
            trials = executor.completed()
            assert [done.task for done in trials] == [self._trial(0, "sleep")]
            assert executor.completed() == []
        for piece in pieces:
            architectures = [space.from_string(text) for text in piece.payload["architectures"]]
            scores, computed = scores_of(found[piece.name])
            np.testing.assert_array_equal(scores, CodeProxies().values(architectures, piece.payload["proxies"]))
            assert computed == 0
        assert broken.answer.failure is not None

    def test_tasks_of_all_kinds_are_of_equal_rank(self, tmp_path: Path) -> None:
        """Trainings go the way of trials, with nested answers; one that raises, or of an unknown kind, is a failure."""
        training = Task("training-1", "train", {"rate": 0.5})
        wrong = Task("training-2", "train", {"rate": -1.0})
        unknown = Task("training-3", "fly", {})
        again = dataclasses.replace(training, name="training-4", attempt=2)
        with self.opened(tmp_path) as executor:
            tasks = [training, self._trial(0), wrong, unknown, again]
            found = self._run(executor, tasks)
        assert {name: done.task for name, done in found.items()} == {task.name: task for task in tasks}
        curve = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
        assert found["training-1"].answer.value == {"curve": curve, "name": "training-1", "best": None}
        assert found["training-1"].answer.cost_s == 2.0
        assert found["training-4"].answer.value["name"] == "training-4"
        assert "a rate below 0" in (found["training-2"].answer.details or "")
        assert "'fly'" in str(found["training-3"].answer.failure)
        assert found[self._trial(0).name].answer.failure is None

    def test_the_clock_goes_on_where_it_was(self, tmp_path: Path) -> None:
        """A resumed search does not begin at zero, and completes what was submitted before."""
        with self.opened(tmp_path) as executor:
            executor.restore_clock(1000.0)
            executor.submit(self._trial(0), submitted_s=999.0)
            (done,) = self._all(executor).values()
            assert 999.0 <= done.clock_s < 1000.0 + _FOREVER_S
            assert executor.clock_s >= 1000.0

    def test_a_hanging_task_fails_and_the_next_is_done(self, tmp_path: Path) -> None:
        """After `timeout_s` a trial has failed, and cost that much."""
        tasks = [self._trial(0, "hang"), self._trial(1)]
        with self.opened(tmp_path, timeout_s=self.timeout_s) as executor:
            found = self._run(executor, tasks)
        hung, fine = (found[task.name].answer for task in tasks)
        assert "timeout" in str(hung.failure)
        assert hung.cost_s == self.timeout_s
        assert fine.failure is None

    def test_closing_drops_what_runs(self, tmp_path: Path) -> None:
        """Closing does not wait for a trial; closing again does nothing."""
        with self.opened(tmp_path) as executor:
            executor.submit(self._trial(0, "sleep"))
        executor.close()
