from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from po_nas.errors import ConfigError, ProblemError, UnknownNameError
from po_nas.formula import depth, leaves, text
from po_nas.research.evolved_proxies.symbolic import Problem, Settings, aggregate, evolve, leaves_of, scores, tau
from po_nas.research.evolved_proxies.symbolic.evolve import references_of
from po_nas.research.evolved_proxies.symbolic.problem import FEWEST
from tests.errors import raised

from .toy import toy_problem

SMALL = Settings(population=40, generations=6, max_size=15)


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        Settings(population=30, generations=4, objectives="nsga2"),
        Settings(population=30, generations=3, constants=True, normaliser="zscore", aggregate="mean-sd"),
        Settings(population=30, generations=3, missing="invalid", normaliser="signed_log", aggregate="min"),
    ],
    ids=["tau", "nsga2", "constants", "invalid"],
)
def test_a_run_depends_on_its_generator_alone_and_keeps_its_bounds(settings):
    problems = [toy_problem(), toy_problem("toy/two", seed=1)]
    seen = []
    found = evolve(problems, settings, np.random.default_rng(5), seen.append)
    again = evolve(problems, settings, np.random.default_rng(5))
    assert text(found.best.formula) == text(again.best.formula)
    assert (
        [g.best.fitness for g in found.history]
        == [g.best.fitness for g in again.history]
        == [g.best.fitness for g in seen]
    )
    assert found.evaluated == again.evaluated > settings.population / 2
    fitness = [g.best.fitness for g in found.history]
    assert fitness == sorted(fitness)
    for member in (found.best, *found.front):
        assert member.size <= settings.max_size
        assert depth(member.formula) <= settings.max_depth
    best = found.best
    values = np.array([[best.taus[p.name] for p in problems]])
    assert best.aggregate == pytest.approx(float(aggregate(values, settings.aggregate, settings.sd_weight)[0]))
    for p in problems:
        assert best.taus[p.name] == pytest.approx(tau(best.formula, p, found.references[p.name]), abs=1e-9)
    if settings.missing == "invalid":
        assert "jacov" not in leaves(best.formula)


def test_it_finds_what_is_there_to_find():
    problem = toy_problem(n=120)
    found = evolve([problem], Settings(population=100, generations=10), np.random.default_rng(0))
    single = max(abs(tau(leaf, problem)) for leaf in ("nwot", "flops", "snip", "jacov"))
    assert found.best.taus["toy/one"] > single + 0.1
    assert found.best.seconds == sum({"nwot": 1.0, "snip": 3.0}.get(leaf, 0) for leaf in leaves(found.best.formula))


def test_the_front_is_one():
    found = evolve(
        [toy_problem()], Settings(population=40, generations=5, objectives="nsga2"), np.random.default_rng(1)
    )
    goals = [(-m.aggregate, m.size, m.seconds) for m in found.front]
    for a in goals:
        assert not any(b != a and all(x <= y for x, y in zip(b, a, strict=True)) for b in goals)
    assert goals[0][0] == min(g[0] for g in goals)
    assert min(g[1] for g in goals) == 1


def test_leaves_are_what_is_there_and_varies():
    one, two = toy_problem(), toy_problem("toy/two")
    assert leaves_of([one], Settings()) == ("flops", "jacov", "nwot", "snip")
    assert "g_depth" in leaves_of([one], Settings(graph_features=True))
    assert leaves_of([one], Settings(leaves=("g_*", "nwot"), graph_features=True)) == ("g_depth", "nwot")
    lacking = {name: column for name, column in two.columns.items() if name != "snip"}
    less = Problem("toy/less", "toy", two.accuracy, lacking, two.classes)
    assert "snip" in leaves_of([one, less], Settings())
    assert "snip" not in leaves_of([one, less], Settings(coverage=1.0))
    with raised(UnknownNameError, name="nwott", suggestion="nwot"):
        leaves_of([one], Settings(leaves=("nwott",)))
    with raised(ProblemError, "`coverage`", "toy/one"):
        leaves_of([one], Settings(leaves=("zen",)))
    with pytest.raises(ProblemError):
        evolve([], Settings(), np.random.default_rng(0))
    with raised(ProblemError, "toy/one"):
        evolve([one, one], Settings(), np.random.default_rng(0))


def test_a_missing_column_is_the_middle():
    problem = toy_problem()
    reference = references_of([problem], ("nwot", "absent"), Settings())["toy/one"]
    np.testing.assert_array_equal(reference.transform("absent", np.full(3, np.nan)), [0.5] * 3)
    assert tau("absent", problem) == 0
    expected = kendalltau(problem.columns["nwot"], problem.accuracy).statistic
    assert tau("nwot", problem, "raw") == pytest.approx(expected)
    assert scores("nwot", problem, "rank").min() == pytest.approx(0.5 / 60)


def test_a_split_keeps_classes_together():
    problem = toy_problem(n=80)
    for stratified in (False, True):
        learned, other = problem.split(40, np.random.default_rng(0), stratified=stratified)
        assert not set(learned.classes) & set(other.classes)
        assert (len(learned), len(other)) == (40, 40)
        assert learned.columns["nwot"].shape == (40,)
    with raised(ProblemError, "toy/one", "75", "80", FEWEST):
        problem.split(75, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"accuracy": np.ones(60)}, ["bad: "]),
        ({"accuracy": np.r_[np.nan, np.arange(59.0)]}, ["bad: "]),
        ({"columns": {"nwot": np.ones(59)}}, ["bad: ", "'nwot'", "(59,)", "(60,)"]),
        ({"classes": np.ones(3, dtype=int)}, ["bad: ", "3 classes", "60"]),
    ],
)
def test_broken_problems_are_refused(change, named):
    good = toy_problem()
    arguments = {"accuracy": good.accuracy, "columns": good.columns, "classes": good.classes} | change
    with raised(ProblemError, *named):
        Problem("bad", "toy", **arguments)
    with raised(ProblemError, "9", FEWEST):
        toy_problem(n=9)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"population": 1}, ConfigError),
        ({"mutation": (1.0, 1.0, 1.0)}, ConfigError),
        ({"elite": 200}, ConfigError),
        ({"crossover": 2.0}, ConfigError),
        ({"parsimony": -1.0}, ConfigError),
        ({"parsimony": float("nan")}, ConfigError),
        ({"sd_weight": float("inf")}, ConfigError),
        ({"mutation": (float("nan"), 0.5, 0.5)}, ConfigError),
        ({"crossover": float("nan")}, ConfigError),
        ({"aggregate": "median"}, UnknownNameError),
        ({"normaliser": "ranks"}, UnknownNameError),
        ({"objectives": "size"}, UnknownNameError),
        ({"functions": ("sin",)}, UnknownNameError),
        ({"functions": ()}, ConfigError),
    ],
)
def test_settings_are_checked(change, error):
    with pytest.raises(error):
        Settings(**change)
