"""Pairs, and the generation that they make."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

from po_nas import spaces
from po_nas.errors import ConfigError, ScoreError
from po_nas.evolution import generation
from po_nas.evolution.evolve import column
from po_nas.evolution.generation import PairSelection, pair_scores
from po_nas.spaces.base import Architecture
from tests.errors import raised

COSTS = np.array([2.0, 6.0, 4.0])
SUMS = np.array([0.9, 0.1, 0.5])


def test_pair_scores_by_hand():
    # Normalised costs 0, 1, ½; normalised scores 1, 0, ½; N = ¾.
    assert pair_scores(COSTS, SUMS, 0.25) == pytest.approx([0.25, 0.75, 0.5])
    assert pair_scores(COSTS, SUMS, 0.0) == pytest.approx([0.0, 1.0, 0.5])
    assert pair_scores(COSTS, SUMS, 1.0) == pytest.approx([1.0, 0.0, 0.5])


def test_the_reference_form_by_hand():
    assert pair_scores(COSTS, SUMS, 0.25, reference=True) == pytest.approx([0.9, 0.85, 0.875])
    assert pair_scores(COSTS, SUMS, 1.0, reference=True) == pytest.approx(SUMS)


def test_equal_costs_decide_nothing():
    assert pair_scores(np.full(3, 7.0), SUMS, 0.5) == pytest.approx([0.5, 0.0, 0.25])


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_is_a_share(progress):
    with raised(ConfigError, key="progress"):
        pair_scores(COSTS, SUMS, progress)


def test_pairs_are_chosen_by_hand_computed_scores():
    """Three cells: a and b differ in 1 edge, a and c in 4, b and c in 5; a scores 3, b 2, c 1."""
    space = spaces.get("nasbench201")
    codes = {"c": (1, 1, 1, 1, 0, 1), "a": (0, 0, 0, 0, 0, 1), "b": (0, 0, 0, 0, 0, 2)}
    cells = [Architecture(space.name, code) for code in codes.values()]
    population = Population.new("X", column(cells), "F", -np.array([[1.0], [3.0], [2.0]]))
    c, a, b = range(3)

    def chosen(progress, number):
        return PairSelection(space, progress).do(None, population, number, 2, to_pop=False).tolist()

    # Cost normalised: ab 0, ac ¾, bc 1. Score normalised: ab 5 → 1, ac 4 → ½, bc 3 → 0.
    assert chosen(0.0, 3) == [[b, c], [a, c], [a, b]]
    assert chosen(1.0, 3) == [[a, b], [a, c], [b, c]]
    assert chosen(0.5, 1) == [[a, c]]


def pool_of(space, n, seed=0):
    rng = np.random.default_rng(seed)
    pool = list(dict.fromkeys(space.sample(rng) for _ in range(n)))
    return pool, rng.random(len(pool))


@pytest.mark.parametrize("name", spaces.names())
def test_offspring_are_new_valid_and_unique(name):
    space = spaces.get(name)
    pool, scores = pool_of(space, 60)
    found = generation(space, pool, scores, np.random.default_rng(1), 0.3, elite=6, pairs=4)
    keys = [space.canonical(a) for a in found]
    assert len(found) > 10
    assert len(set(keys)) == len(keys)
    assert not set(found) & set(pool)
    for architecture in found:
        space.validate(architecture)


def test_offspring_are_children_and_their_neighbours():
    space = spaces.get("darts")
    pool, scores = pool_of(space, 30)
    found = generation(space, pool, scores, np.random.default_rng(1), 0.5, elite=5, pairs=1)
    child, near = found[0], found[1:]
    elite = [pool[k] for k in np.argsort(-scores)[:5]]
    assert any(
        space.edit_distance(a, child) + space.edit_distance(child, b) == space.edit_distance(a, b) > 1
        for k, a in enumerate(elite)
        for b in elite[k + 1 :]
    )
    assert near == [a for a in space.neighbours(child) if a in set(near)]
    assert len(found) > 60, "isomorphic neighbours apart, the whole neighbourhood"


def test_a_full_darts_generation_has_the_size_of_the_paper():
    space = spaces.get("darts")
    pool, scores = pool_of(space, 100)
    found = generation(space, pool, scores, np.random.default_rng(2), 0.0, key=lambda a: a)
    assert 2_300 < len(found) <= 20 * 129


def test_deterministic_by_the_generator():
    space = spaces.get("darts")
    pool, scores = pool_of(space, 30)
    runs = [generation(space, pool, scores, np.random.default_rng(seed), 0.5, elite=5, pairs=2) for seed in (4, 4, 5)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_what_is_known_is_left_out_by_key():
    space = spaces.get("nasbench201")
    pool, scores = pool_of(space, 30)

    def run(**options):
        return generation(space, pool, scores, np.random.default_rng(0), 0.5, elite=5, pairs=3, **options)

    everything = run()
    some = {space.canonical(a) for a in everything[::2]}
    assert run(known=some) == everything[1::2]


def test_the_elite_are_the_best_finite_ones_and_not_twins():
    space = spaces.get("nasbench201")
    # The twin is the best with its nodes 1 and 2 exchanged.
    best, twin, second, third = (
        Architecture(space.name, code)
        for code in ((3, 1, 0, 2, 3, 4), (1, 3, 0, 2, 4, 3), (2, 2, 2, 2, 2, 2), (4, 4, 4, 4, 4, 4))
    )
    assert space.canonical(best) == space.canonical(twin)
    found = generation(
        space, [third, best, twin, second, space.at(7)], np.array([0.1, 0.9, 0.8, 0.7, np.nan]),
        np.random.default_rng(0), 1.0, elite=2, pairs=5,
    )  # fmt: skip
    distance = space.edit_distance(best, second)
    child = found[0]
    assert space.edit_distance(best, child) == distance // 2
    assert space.edit_distance(child, second) == distance - distance // 2
    assert all(space.edit_distance(child, other) <= 1 for other in found), "there is one pair"


def test_what_cannot_be_used_is_refused():
    space, rng = spaces.get("nasbench201"), np.random.default_rng(0)
    pool, scores = pool_of(space, 10)
    with raised(ScoreError, len(pool), len(pool) - 1):
        generation(space, pool, scores[:-1], rng, 0.5)
    with raised(ScoreError, "1 different"):
        generation(space, pool, np.where(np.arange(len(pool)) == 3, scores, np.nan), rng, 0.5)
    with raised(ConfigError, key="elite", value=1):
        generation(space, pool, scores, rng, 0.5, elite=1)
    with raised(ConfigError, key="pairs", value=0):
        generation(space, pool, scores, rng, 0.5, pairs=0)
