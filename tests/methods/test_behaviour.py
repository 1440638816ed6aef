"""What the built-in methods do, beyond the contract."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import po_nas
from po_nas import methods, spaces
from po_nas.core.objective import Outcome
from po_nas.core.searcher import Domain
from po_nas.errors import SearchExhaustedError
from po_nas.testing import ToyObjective
from surrogates import gaussian_process
from surrogates.gaussian_process import FitFallbackWarning


def searcher(name, space="transnas_micro", seed=0, identity=None, **options):
    kind = methods.registry.get(name)
    found = spaces.get(space)
    return kind(Domain(found, identity or found.canonical, True, 50), seed=seed, options=kind.Options(**options))


def drive(method, objective, n):
    for _ in range(n):
        (trial,) = method.ask()
        method.tell(trial.number, objective.evaluate(trial.architecture, seed=trial.seed))
    return [t.trial for t in method.observations]


def test_regularized_evolution_mutates_after_its_population_is_full():
    method = searcher("regularized_evolution", population=5, sample=2)
    trials = drive(method, ToyObjective(spaces.get("transnas_micro")), 15)
    assert [t.origin for t in trials[:5]] == ["initial"] * 5
    assert {t.origin for t in trials[5:]} == {"evolution"}


def test_regularized_evolution_only_breeds_from_the_young():
    """With a tournament of everybody, a child is at most a few edits from one of the last five."""
    space = spaces.get("nasbench201")
    method = searcher("regularized_evolution", "nasbench201", population=5, sample=5, identity=space.index)
    trials = drive(method, ToyObjective(space), 30)
    for number in range(5, 30):
        young = trials[number - 5 : number]
        assert min(space.edit_distance(t.architecture, trials[number].architecture) for t in young) <= 2


def test_local_search_moves_to_better_neighbours_and_restarts():
    space = spaces.get("transnas_micro")
    trials = drive(searcher("local_search", initial=2, identity=space.index), ToyObjective(space), 200)
    objective = ToyObjective(space)
    best, climb_best = -np.inf, None
    for trial in trials:
        value = objective.value(trial.architecture)
        if trial.origin == "neighbour":
            assert space.edit_distance(trial.architecture, climb_best) == 1
        if trial.origin == "restart":
            best = -np.inf
        if value > best:
            best, climb_best = value, trial.architecture
    assert "restart" in {t.origin for t in trials}


def test_searchers_end_when_the_space_does():
    space = spaces.get("transnas_micro")
    few = {space.canonical(space.at(i)) for i in range(40)}
    method = searcher("random", identity=lambda a: space.canonical(a) if space.canonical(a) in few else "other")
    asked = 0
    with pytest.raises(SearchExhaustedError):  # noqa: PT012 - which call raises is the question
        while True:
            method.ask()
            asked += 1
    assert asked == len(few) + 1


def test_gp_bo_beats_chance_on_a_smooth_objective():
    space = spaces.get("transnas_micro")
    objective = ToyObjective(space)
    values = np.sort([objective.value(a) for a in space.enumerate()])
    trials = drive(searcher("gp_bo", identity=space.index), objective, 35)
    best = max(objective.value(t.architecture) for t in trials)
    assert best >= values[-20]


@pytest.mark.parametrize("acquisition", ["logei", "lognei", "ucb"])
def test_gp_bo_acquisitions(acquisition):
    space = spaces.get("transnas_micro")
    method = searcher("gp_bo", initial=5, acquisition=acquisition, identity=space.index)
    trials = drive(method, ToyObjective(space), 8)
    assert [t.origin for t in trials[5:]] == ["acquisition"] * 3
    batch = method.ask(3)
    assert len({space.index(t.architecture) for t in batch}) == 3


def test_a_failed_fit_is_loud_and_the_search_goes_on(monkeypatch):
    said = "no convergence"

    def fail(*_, **__):
        raise gaussian_process.ModelFittingError(said)

    monkeypatch.setattr(gaussian_process, "fit_gpytorch_mll", fail)
    space = spaces.get("transnas_micro")
    method = searcher("gp_bo", initial=4, identity=space.index)
    with pytest.warns(FitFallbackWarning, match=said):
        trials = drive(method, ToyObjective(space), 6)
    assert [t.origin for t in trials[4:]] == ["acquisition (fit failed)"] * 2


def test_gp_bo_survives_constant_and_duplicate_observations():
    space = spaces.get("transnas_micro")
    method = searcher("gp_bo", initial=4, identity=space.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(7):
            (trial,) = method.ask()
            method.tell(trial.number, Outcome.ok(1.0))
    assert method.observations[-1].trial.origin == "acquisition"


def test_identity_of_a_table_lets_twins_be_evaluated(tmp_path):
    """NAS-Bench-201 records cells of one function separately; the table's rows are the identities."""
    from po_nas import benchmarks

    task = benchmarks.get("nasbench201/cifar10")
    space = task.space
    first = space.from_string("|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    twin = space.from_string("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
    assert space.canonical(first) == space.canonical(twin)
    assert task.identity(first) != task.identity(twin)
    assert po_nas.search(benchmark=task, method="random", budget=3, out=tmp_path / "run").evaluations == 3
