"""Fronts, their order and their hypervolume, against slow definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from po_nas.evolution.front import front_of, hypervolume, pareto_scores, reference_point

points = st.integers(1, 3).flatmap(
    lambda k: arrays(float, st.tuples(st.integers(1, 12), st.just(k)), elements=st.integers(0, 4).map(float))
)


def dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


@given(points)
def test_a_front_is_what_no_other_dominates(losses):
    front = front_of(losses)
    found = {tuple(losses[place]) for place in front}
    assert len(found) == len(front)
    assert found == {tuple(p) for p in losses if not any(dominates(q, p) for q in losses)}
    assert [tuple(losses[place]) for place in front] == sorted(found)


@given(points)
def test_the_order_goes_by_fronts(losses):
    scores = pareto_scores(losses)
    for a, first in zip(losses, scores, strict=True):
        for b, second in zip(losses, scores, strict=True):
            if dominates(a, b):
                assert first > second
            if (a == b).all():
                assert first == second


@given(points, st.data())
def test_what_breaks_a_limit_comes_last_by_how_much(losses, data):
    n = len(losses)
    violations = data.draw(arrays(float, n, elements=st.sampled_from([0.0, 0.5, 2.0])))
    scores = pareto_scores(losses, violations)
    for a in range(n):
        for b in range(n):
            if violations[a] < violations[b]:
                assert scores[a] > scores[b]


def test_what_is_not_finite_is_on_no_front():
    losses = np.array([[1.0, np.nan], [2.0, 1.0], [np.inf, 0.0]])
    assert front_of(losses).tolist() == [1]
    assert np.isinf(pareto_scores(losses)).tolist() == [True, False, True]
    assert front_of(losses[:1]).tolist() == []


@given(points)
def test_the_hypervolume_is_what_points_drawn_at_random_say(losses):
    reference = reference_point(losses)
    assert (reference > losses.max(axis=0)).all()
    low = losses.min(axis=0)
    drawn = np.random.default_rng(0).uniform(low, reference, size=(20_000, losses.shape[1]))
    share = np.mean([(losses <= point).all(axis=1).any() for point in drawn[:2000]])
    box = float(np.prod(reference - low))
    assert hypervolume(losses, reference) == pytest.approx(share * box, abs=0.06 * box)


@given(points, st.data())
def test_more_points_never_have_less_hypervolume(losses, data):
    reference = reference_point(losses)
    fewer = losses[: data.draw(st.integers(1, len(losses)))]
    assert hypervolume(fewer, reference) <= hypervolume(losses, reference) + 1e-9
    assert hypervolume(losses[front_of(losses)], reference) == pytest.approx(hypervolume(losses, reference))


def test_beyond_the_reference_point_there_is_none():
    assert hypervolume(np.array([[2.0, 0.0]]), np.array([1.0, 1.0])) == 0.0
