"""Evolution over any space, with pymoo underneath."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import spaces
from po_nas.evolution import evolve
from po_nas.evolution.evolve import KeyDuplicateElimination, column
from po_nas.testing import ToyObjective


def scorer(space):
    objective = ToyObjective(space)
    return lambda architectures: np.array([objective.value(a) for a in architectures])


@pytest.mark.parametrize("name", ["nasbench201", "transnas_macro", "nasbench101", "darts", "nasbench_graph"])
def test_it_improves_on_its_first_population(name):
    space = spaces.get(name)
    found = evolve(space, scorer(space), np.random.default_rng(0), population=20, generations=8)
    first = evolve(space, scorer(space), np.random.default_rng(0), population=20, generations=1)
    assert found[0][1] > first[0][1]
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    keys = [space.canonical(a) for a, _ in found]
    assert len(set(keys)) == len(keys)
    for architecture, _ in found:
        space.validate(architecture)


def test_it_finds_the_optimum_of_a_small_space():
    space = spaces.get("transnas_micro")
    score = scorer(space)
    best = max(score(list(space.enumerate())))
    found = evolve(space, score, np.random.default_rng(1), population=60, generations=30)
    assert found[0][1] == pytest.approx(best)


def test_same_generator_same_result_and_global_state_untouched():
    space = spaces.get("nasbench201")
    np.random.seed(5)  # noqa: NPY002 - the point is that nobody touches it
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [evolve(space, scorer(space), np.random.default_rng(3), population=12, generations=4) for _ in range(2)]
    assert runs[0] == runs[1]
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_start_is_in_the_first_population():
    space = spaces.get("darts")
    start = [space.sample(np.random.default_rng(seed)) for seed in range(5)]
    seen = []

    def score(architectures):
        seen.extend(architectures)
        return np.zeros(len(architectures))

    evolve(space, score, np.random.default_rng(0), start=start, population=10, generations=1)
    assert seen[:5] == start


def test_duplicates_are_eliminated_by_key():
    from pymoo.core.population import Population

    space = spaces.get("nasbench201")
    cells = [space.at(i) for i in (0, 1, 0, 2)]
    population = Population.new("X", column(cells))
    other = Population.new("X", column([space.at(1)]))
    left = KeyDuplicateElimination(space.index).do(population, other)
    assert [space.index(individual.X[0]) for individual in left] == [0, 2]
