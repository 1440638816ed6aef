"""A conformance kit for search methods."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from po_nas import methods, spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import Goals, Limit
from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.core.searcher import Domain, Searcher
from po_nas.core.trial import Trial
from po_nas.errors import PoNasError, SearchExhaustedError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.pool import PoolSpace
from po_nas.testing.switches import switched

__all__ = ["SearcherConformance", "ToyObjective"]


_FEW = 12
"""Architectures of a space that a search uses up."""
_SECOND = Metric("second", "", maximize=False)
_SIZE = Metric("size", "", maximize=False, known=True)


class ToyObjective(Objective):
    """A smooth objective over any space, known without data: higher is better, the optimum is not known.

    The value of an architecture is a fixed random linear function of its vector encoding plus an interaction. With
    `several` there are two more objectives that are minimised: ``second``, another such function, and ``size``, which
    is known without an evaluation. With `limited` half of the space or so is beyond a limit on ``second``. At a lower
    fidelity another such function is added, the more of it the lower.
    """

    name: str
    space: Space
    metric: Metric
    metrics: Mapping[str, Metric]
    goals: Goals
    fidelities = Fidelities((1, 3, 9), "epochs", resumes=True)

    def __init__(
        self,
        space: Space,
        *,
        maximize: bool = True,
        fail_every: int | None = None,
        several: bool = False,
        limited: bool = False,
    ) -> None:
        self.space = space
        self.name = f"toy/{space.name}"
        self.metric = Metric("toy score", "", maximize)
        self.metrics = {metric.name: metric for metric in (_SECOND, _SIZE)}
        signal = Metric("validation", "", maximize)
        limits = (Limit(_SECOND, "<=", 0.0),) if limited else ()
        self.goals = Goals((signal, _SECOND, _SIZE) if several else (), limits)
        self._weights, self._others, self._early = np.random.default_rng(0).normal(size=(3, space.vector_size))
        self._fail_every = fail_every
        self._evaluated = 0

    def value(self, architecture: Architecture) -> float:
        """The value, oriented by the metric's direction."""
        vector = self.space.encode_vector(architecture)
        value = float(vector @ self._weights + 0.1 * np.sin(7 * vector @ self._weights))
        return value if self.metric.maximize else -value

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """The value, or a failure every so many evaluations."""
        self._evaluated += 1
        if self._fail_every and self._evaluated % self._fail_every == 0:
            return Outcome.failed("it was the turn of a failure")
        vector, share = self.space.encode_vector(architecture), self.fidelities.cost(fidelity)
        early = 0.3 * (1.0 - share) * float(vector @ self._early)
        value = self.value(architecture) + (early if self.metric.maximize else -early)
        found = Outcome.ok(value, cost_s=share * (1.0 + vector.sum() % 3))
        if not self.goals.several and not self.goals.limits:
            return found
        others = {"second": float((vector - 0.25) @ self._others), "size": float(self._size(architecture))}
        return Outcome({**found.metrics, **others}, found.cost_s)

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """The size, whatever is asked for."""
        return {name: np.array([self._size(a) for a in architectures], dtype=np.float64) for name in names}

    def _size(self, architecture: Architecture) -> float:
        vector = self.space.encode_vector(architecture)
        return float(vector @ np.arange(1.0, len(vector) + 1.0))

    def protocol(self) -> dict[str, Any]:
        """The direction is all there is to say."""
        return {"benchmark": self.name, "direction": "maximize" if self.metric.maximize else "minimize"}


class SearcherConformance:
    """Checks a search method against the contract of `po_nas.core.searcher.Searcher`; subclass it in a test module.

    Set `method` to a registered name (or override `searcher`), and `options` to options that make it quick. `budget` is
    the number of evaluations of each run; it should go past the method's initial design. Set `learns` to False where
    proposals do not depend on outcomes at all, or on those of warm-start observations.
    """

    method: ClassVar[str]
    learns: ClassVar[bool] = True
    options: ClassVar[Mapping[str, Any]] = {}
    budget: ClassVar[int] = 20
    space_name: ClassVar[str] = "transnas_micro"

    def space(self) -> Space:
        """The space searched."""
        return spaces.get(self.space_name)

    def searcher(self, objective: ToyObjective, seed: int) -> Searcher:
        """A fresh searcher."""
        kind = methods.registry.get(self.method)
        domain = Domain(
            *(objective.space, objective.identity, objective.metric.maximize, self.budget),
            goals=objective.goals,
            known=objective.known,
            fidelities=objective.fidelities,
        )
        return kind(domain, seed=seed, options=kind.Options(**self.options))

    def _run(
        self, seed: int, *, restart_at: frozenset[int] = frozenset(), batch: int = 1, **toy: Any
    ) -> list[tuple[Trial, Outcome]]:
        objective = ToyObjective(self.space(), **toy)
        searcher = self.searcher(objective, seed)
        done: list[tuple[Trial, Outcome]] = []
        while len(done) < self.budget:
            if len(done) in restart_at:
                searcher = self.searcher(objective, seed)
                for trial, outcome in done:
                    searcher.restore(trial)
                    searcher.tell(trial.number, outcome)
            for trial in searcher.ask(min(batch, self.budget - len(done))):
                outcome = self._evaluated(objective, trial)
                searcher.tell(trial.number, outcome)
                done.append((trial, outcome))
        return done

    @staticmethod
    def _evaluated(objective: ToyObjective, trial: Trial) -> Outcome:
        return objective.evaluate(trial.architecture, seed=trial.seed, fidelity=trial.fidelity)

    def test_same_seed_same_trials(self) -> None:
        """A run is a function of its seed, and other seeds give other runs."""
        assert self._run(3) == self._run(3)
        assert [t.architecture for t, _ in self._run(3)] != [t.architecture for t, _ in self._run(4)]

    def test_restored_run_is_the_undisturbed_one(self) -> None:
        """A fresh searcher that is told what the journal holds goes on as if nothing had happened."""
        undisturbed = self._run(5)
        cuts = frozenset({1, self.budget // 2, self.budget - 1})
        assert self._run(5, restart_at=cuts) == undisturbed

    def test_no_architecture_twice(self) -> None:
        """Every trial is a new evaluation."""
        space = self.space()
        keys = [(space.canonical(t.architecture), t.fidelity) for t, _ in self._run(1)]
        assert len(set(keys)) == len(keys)

    def test_trials_are_valid_and_numbered(self) -> None:
        """Trials belong to the space and count from zero, each with an origin."""
        done = self._run(2)
        for number, (trial, _) in enumerate(done):
            assert trial.number == number
            assert trial.origin
            self.space().validate(trial.architecture)

    def test_batches(self) -> None:
        """Several trials may be asked for at once; they differ from each other."""
        space = self.space()
        keys = [(space.canonical(t.architecture), t.fidelity) for t, _ in self._run(6, batch=4)]
        assert len(set(keys)) == self.budget

    def test_failures_count_and_do_not_stop_it(self) -> None:
        """Failed trials are observations; the search goes on and does not propose them again."""
        done = self._run(7, fail_every=3)
        assert len(done) == self.budget
        assert sum(o.failure is not None for _, o in done) == self.budget // 3

    def test_everything_fails(self) -> None:
        """Even when nothing succeeds, the budget is spent on different architectures."""
        space = self.space()
        done = self._run(8, fail_every=1)
        assert len({(space.canonical(t.architecture), t.fidelity) for t, _ in done}) == self.budget

    def test_order_of_telling_does_not_matter(self) -> None:
        """Parallel evaluations end in any order."""
        asked = []
        for reverse in (False, True):
            objective = ToyObjective(self.space())
            searcher = self.searcher(objective, 9)
            for _ in range(self.budget // 4):
                trials = searcher.ask(4)
                for trial in sorted(trials, key=lambda t: t.number, reverse=reverse):
                    searcher.tell(trial.number, self._evaluated(objective, trial))
            asked.append([o.trial for o in searcher.all_observations])
        assert asked[0] == asked[1]

    def test_asking_while_trials_are_pending(self) -> None:
        """New trials differ from pending ones."""
        objective = ToyObjective(self.space())
        searcher = self.searcher(objective, 10)
        pending: list[Trial] = []
        keys: list[Hashable] = []
        for _ in range(self.budget):
            pending += searcher.ask(1)
            keys.append((objective.identity(pending[-1].architecture), pending[-1].fidelity))
            if len(pending) == 3:
                trial = pending.pop(0)
                searcher.tell(trial.number, self._evaluated(objective, trial))
        assert len(set(keys)) == self.budget

    def test_the_space_is_used_up(self) -> None:
        """In a space of a dozen all are proposed, with others pending; then there is nothing left, and it says so."""
        space = self.space()
        rng = np.random.default_rng(17)
        few: dict[Hashable, Architecture] = {}
        while len(few) < _FEW:
            drawn = space.sample(rng)
            few.setdefault(space.canonical(drawn), drawn)
        kept = set(few.values())
        part = PoolSpace(space, sorted(kept, key=space.to_string))
        objective = ToyObjective(part)
        searcher = self.searcher(objective, 18)
        pending: list[Trial] = []
        asked: list[Trial] = []
        try:
            while len(asked) < 10 * _FEW:
                new = searcher.ask(1)
                pending, asked = pending + new, asked + new
                if len(pending) == 4:
                    trial = pending.pop(0)
                    searcher.tell(trial.number, self._evaluated(objective, trial))
        except SearchExhaustedError:
            pass
        else:
            raise AssertionError(f"more than {len(asked)} trials in a space of {_FEW}")
        assert {t.architecture for t in asked} == kept
        assert len({(t.architecture, t.fidelity) for t in asked}) == len(asked)

    def test_telling_again(self) -> None:
        """The same outcome again changes nothing; another outcome, or an unknown trial, is an error."""
        searcher = self.searcher(ToyObjective(self.space()), 11)
        (trial,) = searcher.ask(1)
        searcher.tell(trial.number, Outcome.ok(1.0))
        searcher.tell(trial.number, Outcome.ok(1.0))
        assert len(searcher.all_observations) == 1
        for number, outcome in ((trial.number, Outcome.ok(2.0)), (99, Outcome.ok(1.0))):
            try:
                searcher.tell(number, outcome)
            except PoNasError:
                continue
            raise AssertionError(f"telling trial {number} {outcome} must raise")

    def test_warm_start(self) -> None:
        """Evaluations made elsewhere are neither counted nor proposed again."""
        objective = ToyObjective(self.space())
        searcher = self.searcher(objective, 12)
        rng = np.random.default_rng(0)
        given = [objective.space.sample(rng) for _ in range(5)]
        for architecture in given:
            searcher.tell_custom(architecture, objective.evaluate(architecture, seed=0))
        known = {objective.identity(a) for a in given}
        for _ in range(self.budget):
            (trial,) = searcher.ask(1)
            assert objective.identity(trial.architecture) not in known
            searcher.tell(trial.number, self._evaluated(objective, trial))
        assert searcher.asked == self.budget

    def test_initial_design_counts_the_warm_start(self) -> None:
        """With the evaluations of an earlier run there is nothing left to explore blindly: the first trial uses them.

        Use `Searcher.initial_design_done`, which counts them, and not the number of trials asked for.
        """
        if not self.learns:
            return
        for seed in (14, 15, 16):
            earlier = [(t, o) for t, o in self._run(seed) if t.fidelity is None]
            firsts = []
            for sign in (1.0, -1.0):
                searcher = self.searcher(ToyObjective(self.space()), seed)
                for trial, outcome in earlier:
                    assert outcome.validation is not None
                    searcher.tell_custom(trial.architecture, Outcome.ok(sign * outcome.validation))
                firsts.append(searcher.ask(1)[0].architecture)
            if firsts[0] != firsts[1]:
                return
        raise AssertionError(f"the first trial is the same whatever {self.budget} warm-start observations say")

    def test_fidelities(self) -> None:
        """An architecture is evaluated at higher fidelities each time, with the seed that it had first.

        A method that uses fidelities begins below the full one, and observations are of full evaluations alone. Others
        ask for full evaluations, whatever there is.
        """
        objective, done = ToyObjective(self.space()), self._run(20)
        searcher = self.searcher(objective, 20)
        uses, amount = searcher.uses_fidelities(searcher.options), objective.fidelities.amount
        latest: dict[Hashable, Trial] = {}
        for trial, outcome in done:
            before = latest.get(key := objective.identity(trial.architecture))
            latest[key] = trial
            assert before is None or amount(before.fidelity) < amount(trial.fidelity)
            assert trial.seed == (searcher.evaluation_seed(trial.number) if before is None else before.seed)
            assert trial.after == (None if before is None else before.fidelity)
            searcher.restore(trial)
            searcher.tell(trial.number, outcome)
        assert any(trial.fidelity is not None for trial, _ in done) == uses
        assert {o.trial.number for o in searcher.observations} == {t.number for t, _ in done if t.fidelity is None}

    def test_trials_fit_in_the_room(self) -> None:
        """What is asked for never costs more than is left; a proposal that does is made again when there is more."""
        objective = ToyObjective(self.space())
        searcher, other = self.searcher(objective, 21), self.searcher(objective, 21)
        for _ in range(self.budget):
            for room in (0.05, 0.3, 0.7, 1.0):
                trials = searcher.ask(1, room)
                assert sum(map(searcher.cost, trials)) <= room + 1e-9
                if trials:
                    break
            assert trials == other.ask(1)
            for trial in trials:
                searcher.tell(trial.number, self._evaluated(objective, trial))
                other.tell(trial.number, self._evaluated(objective, trial))

    def test_several_objectives(self) -> None:
        """A method that says so searches for a front; it can be resumed, and failures do not stop it.

        Others need not know of several objectives: whoever sets a search up refuses them.
        """
        if not self.searcher(ToyObjective(self.space()), 0).supports_objectives:
            return
        undisturbed = self._run(18, several=True, fail_every=5)
        assert self._run(18, several=True, fail_every=5, restart_at=frozenset({self.budget - 2})) == undisturbed
        assert len({(self.space().canonical(t.architecture), t.fidelity) for t, _ in undisturbed}) == self.budget

    def test_limits_on_what_only_an_evaluation_tells(self) -> None:
        """What breaks a limit scores below all that keep it, and the search can be resumed."""
        undisturbed = self._run(19, limited=True)
        assert self._run(19, limited=True, restart_at=frozenset({self.budget - 2})) == undisturbed
        objective = ToyObjective(self.space(), limited=True)
        searcher = self.searcher(objective, 19)
        goals = searcher.domain.goals
        for trial, outcome in undisturbed:
            searcher.restore(trial)
            searcher.tell(trial.number, outcome)
        full = [outcome for trial, outcome in undisturbed if trial.fidelity is None]
        kept = [searcher.score(o) for o in full if goals.feasible(o.metrics)]
        broken = [searcher.score(o) for o in full if not goals.feasible(o.metrics)]
        assert not kept or not broken or max(broken) < min(kept)

    def test_switches_of_torch_do_not_matter(self) -> None:
        """Neither gradients nor precision, autocast or the default device; a search leaves them as they are."""
        expected = self._run(17)
        with switched():
            assert self._run(17) == expected

    def test_direction(self) -> None:
        """Minimising the negative is maximising: same seed, same trials."""
        up, down = self._run(13), self._run(13, maximize=False)
        assert [t.architecture for t, _ in up] == [t.architecture for t, _ in down]
