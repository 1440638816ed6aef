"""Fronts: the helper against brute force, and NSGA-II against a front that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from po_nas import spaces
from po_nas.evolution.pareto import evolve_pareto, non_dominated
from po_nas.spaces.pool import PoolSpace

entry = st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")])


def brute_force(values):
    def beats(a, b):
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    known = [k for k, row in enumerate(values) if not np.isnan(row).any()]
    return [k for k in known if not any(beats(values[j], values[k]) for j in known)]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(rows=st.lists(st.lists(entry, min_size=3, max_size=3), max_size=12))
def test_non_dominated_is_brute_force(rows):
    values = np.array(rows, dtype=float).reshape(-1, 3)
    assert non_dominated(values).tolist() == brute_force(values)


def objectives(space):
    """Many convolutions of the third kind against few operations at all: a front of seven counts."""
    power = np.array([0.0, 0.6, 1.0, 1.7])

    def scores(architectures):
        codes = np.array([a.code for a in architectures])
        return np.stack([power[codes].sum(axis=1), -(codes**2).sum(axis=1)], axis=1)

    return scores


def test_the_front_of_a_small_pool_is_brute_force():
    base, rng = spaces.get("transnas_micro"), np.random.default_rng(0)
    members = list(dict.fromkeys(base.sample(rng) for _ in range(60)))
    pool, scores = PoolSpace(base, members), objectives(base)
    found = evolve_pareto(
        pool, scores, rng, objectives=2, start=members, key=lambda a: a, population=len(members), generations=3
    )
    expected = brute_force(scores(members))
    assert {a for a, _ in found} == {members[k] for k in expected}
    for architecture, values in found:
        assert values.tolist() == scores([architecture])[0].tolist()
    assert [v[0] for _, v in found] == sorted((v[0] for _, v in found), reverse=True)


def test_it_finds_most_of_the_front_of_a_whole_space():
    space = spaces.get("transnas_micro")
    scores = objectives(space)
    everything = scores(list(space.enumerate()))
    best = {tuple(everything[k]) for k in non_dominated(everything)}
    found = evolve_pareto(
        space, scores, np.random.default_rng(0), objectives=2, key=lambda a: a, population=40, generations=25
    )
    assert len(best & {tuple(values) for _, values in found}) >= 0.9 * len(best)


def test_values_that_are_not_finite_never_reach_the_front():
    space = spaces.get("nasbench201")

    def scores(architectures):
        codes = np.array([a.code for a in architectures], dtype=float)
        values = np.stack([codes[:, 0], -codes[:, 0]], axis=1)
        values[codes[:, 0] == 4] = (np.inf, 0)
        values[codes[:, 0] == 0] = np.nan
        return values

    found = evolve_pareto(space, scores, np.random.default_rng(0), objectives=2, population=20, generations=3)
    assert {a.code[0] for a, _ in found} == {1, 2, 3}
    nothing = evolve_pareto(
        space,
        lambda a: np.full((len(a), 2), np.nan),
        np.random.default_rng(0),
        objectives=2,
        population=4,
        generations=2,
    )
    assert nothing == []


def test_same_generator_same_front():
    space = spaces.get("darts")

    def scores(architectures):
        return np.array([[sum(map(sum, a.code[0][3])), -sum(map(sum, a.code[0][3][:1]))] for a in architectures], float)

    runs = [
        evolve_pareto(space, scores, np.random.default_rng(2), objectives=2, population=10, generations=3)
        for _ in range(2)
    ]
    assert [(a, v.tolist()) for a, v in runs[0]] == [(a, v.tolist()) for a, v in runs[1]]
    assert runs[0]
    with pytest.raises(ValueError, match="reshape"):
        evolve_pareto(space, scores, np.random.default_rng(2), objectives=3, population=10)
