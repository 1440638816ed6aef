"""Statistics against scipy and against examples worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from po_nas.compare.statistics import holm, mean_interval, paired_p

VALUES = arrays.arrays(float, st.integers(2, 30), elements=st.floats(-100, 100, width=16))


@given(VALUES, st.sampled_from([0.9, 0.95, 0.99]))
def test_interval_is_scipys(values, level):
    mean, half = mean_interval(values, level)
    assert mean == pytest.approx(values.mean())
    error = stats.sem(values)
    if error > 0:
        low, high = stats.t.interval(level, len(values) - 1, loc=values.mean(), scale=error)
        assert (mean - half, mean + half) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    else:
        assert half == 0


def test_interval_of_little():
    mean, half = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, half) == (2.0, pytest.approx(4.302653 / np.sqrt(3), abs=1e-6))
    mean, half = mean_interval(np.array([7.0]))
    assert mean == 7.0
    assert np.isnan(half), "one seed says nothing of the spread"


def test_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        mean, half = mean_interval(rng.normal(size=5))
        hits += abs(mean) <= half
    assert 0.935 < hits / 2000 < 0.965


def exact_p(differences):
    """Wilcoxon's signed-rank test by counting all signs: no ties, no zeros."""
    ranks = stats.rankdata(np.abs(differences))
    observed = abs((np.sign(differences) * ranks).sum())
    signs = itertools.product((-1, 1), repeat=len(ranks))
    return np.mean([abs(np.dot(s, ranks)) >= observed - 1e-9 for s in signs])


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=9, unique=True), st.data())
def test_p_value_is_the_exact_one(sizes, data):
    signs = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=len(sizes), max_size=len(sizes)))
    differences = np.array(sizes) * signs
    first = np.arange(len(sizes)) * 0.0
    assert paired_p(first + differences, first) == pytest.approx(exact_p(differences))


# Of 9 to 13 pairs with ties scipy goes through all the signs, which takes its time.
@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 2, 5, 8, 14, 20, 30]), st.integers(0, 2**31))
def test_p_value_is_symmetric_and_a_probability(n, seed):
    first, second = np.random.default_rng(seed).integers(0, 5, (2, n)).astype(float)
    p = paired_p(first, second)
    assert 0 <= p <= 1
    assert paired_p(second, first) == pytest.approx(p)
    order = np.random.default_rng(seed).permutation(n)
    assert paired_p(first[order], second[order]) == pytest.approx(p), "pairs have no order"


def test_p_value_of_equal_runs():
    """Two methods that both find the optimum every time are not different."""
    values = np.array([0.0, 0.0, 0.1])
    assert paired_p(values, values.copy()) == 1.0


def test_ties_tell_neither_way():
    """Runs in which both methods end at the optimum change what is known of the others little."""
    better = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    alone = paired_p(better, np.zeros(8))
    assert alone == pytest.approx(2 / 2**8)
    tied = paired_p(np.concatenate([better, np.zeros(8)]), np.zeros(16))
    assert alone / 2 < tied < alone * 2
    even = paired_p(np.concatenate([better, -better, np.zeros(8)]), np.zeros(24))
    assert even > 0.9


def test_holm_of_the_literal_example():
    """Four hypotheses: 0.005 × 4, 0.01 × 3, 0.03 × 2, and the last not below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_never_smaller_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(
        p <= a <= min(1.0, len(p_values) * p) + 1e-12
        for p, a in zip(p_values, adjusted, strict=True)
        if p == min(p_values)
    )
    assert all(a >= p for p, a in zip(p_values, adjusted, strict=True))
    assert max(adjusted) <= 1.0
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(adjusted)
