from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from po_nas.errors import ScoreError
from po_nas.research import ranking
from tests.errors import raised

few = st.integers(0, 4).map(float)
pairs = st.integers(2, 12).flatmap(lambda n: st.tuples(*[st.lists(few, min_size=n, max_size=n)] * 2))


def slow_tau(predicted, true, variant):
    concordant = discordant = tied_p = tied_t = 0
    n = len(true)
    for i, j in combinations(range(n), 2):
        a, b = np.sign(predicted[i] - predicted[j]), np.sign(true[i] - true[j])
        concordant += a * b > 0
        discordant += a * b < 0
        tied_p += a == 0
        tied_t += b == 0
    total = n * (n - 1) / 2
    if tied_p == total or tied_t == total:
        return 0.0
    scale = total if variant == "a" else np.sqrt((total - tied_p) * (total - tied_t))
    return (concordant - discordant) / scale


@given(pairs, st.sampled_from("ab"))
def test_kendall_counts_pairs(lists, variant):
    predicted, true = map(np.array, lists)
    assert ranking.kendall(predicted, true, variant) == pytest.approx(slow_tau(predicted, true, variant), abs=1e-12)


@settings(max_examples=40)
@given(pairs, st.integers(1, 12))
def test_best_rank_is_the_mean_over_all_ways_to_break_ties(lists, k):
    predicted, true = map(np.array, lists)
    n, k = len(true), min(k, len(true))
    ranks = [1 + sum(y > own for y in true) for own in true]
    boundary = sorted(predicted)[-k]
    above = [i for i in range(n) if predicted[i] > boundary]
    tied = [i for i in range(n) if predicted[i] == boundary]
    found = [min(ranks[i] for i in [*above, *drawn]) for drawn in combinations(tied, k - len(above))]
    assert ranking.best_rank_at(predicted, true, k) == pytest.approx(np.mean(found))


@given(pairs)
def test_perfect_scores_are_perfect(lists):
    true = np.array(lists[0]) + np.arange(len(lists[0])) / 100
    for k in (1, 3, len(true)):
        assert ranking.best_rank_at(true, true, k) == 1
        assert ranking.relative_at(true + 1, true + 1, k) == 1
        assert ranking.ndcg_at(true, true, k) == pytest.approx(1)
    assert ranking.precision_at(true, true, 50) == 100
    assert ranking.kendall(true, true) == pytest.approx(1)
    assert ranking.weighted_tau(true, true) == pytest.approx(1)
    assert ranking.weighted_tau(-true, true) == pytest.approx(-1)


def test_agreement_with_scipy_on_many_values():
    rng = np.random.default_rng(3)
    true, noise = rng.normal(size=(2, 4000))
    predicted = np.round(true + noise, 1)
    assert ranking.kendall(predicted, true) == pytest.approx(kendalltau(predicted, true).statistic, abs=1e-12)
    assert ranking.spearman(predicted, true) == pytest.approx(spearmanr(predicted, true).statistic, abs=1e-12)


def test_random_scores_give_the_expected_values():
    rng = np.random.default_rng(0)
    true = rng.normal(size=2000)
    found = [
        (ranking.precision_at(scores, true, 5), ranking.best_rank_at(scores, true, 10), ranking.kendall(scores, true))
        for scores in rng.normal(size=(400, 2000))
    ]
    precision, best, tau = np.mean(found, axis=0)
    assert precision == pytest.approx(5, abs=0.5)
    assert best == pytest.approx(2001 / 11, rel=0.15)
    assert tau == pytest.approx(0, abs=0.003)


def test_the_size_of_the_top_is_the_paper_s():
    assert [ranking.top_count(0.5, n) for n in (15625, 26206, 423624)] == [78, 131, 2118]
    assert ranking.top_count(0.1, 15000) == 15
    assert ranking.top_count(0.1, 10) == 1


def test_equal_predictions_are_no_better_than_chance():
    # Were ties broken by position, a table sorted by accuracy would be "predicted" by a constant.
    true = np.arange(1000.0)[::-1]
    constant = np.zeros(1000)
    assert ranking.precision_at(constant, true, 10) < 25
    assert ranking.precision_at(constant, constant, 10) < 50
    assert (
        ranking.kendall(constant, true) == ranking.spearman(constant, true) == ranking.weighted_tau(constant, true) == 0
    )
    assert ranking.best_rank_at(constant, true, 10) == pytest.approx(1001 / 11)


def test_competition_ties_count_everything_that_ties_with_the_last_of_the_top():
    true = np.array([3.0, 2.0, 2.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    predicted = np.array([9.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert ranking.precision_at(predicted, true, 20, ties="competition") == 100


def test_failed_architectures_rank_last_and_missing_predictions_are_refused():
    true = np.array([0.5, np.nan, 0.9, 0.1])
    assert ranking.true_ranks(true).tolist() == [2, 4, 1, 3]
    assert ranking.kendall(np.array([2.0, 0.0, 3.0, 1.0]), true) == pytest.approx(1)
    with raised(ScoreError, "predicted[1]"):
        ranking.kendall(np.array([2.0, np.nan, 3.0, 1.0]), true)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ranking.kendall(np.zeros(3), np.zeros(4)), ["(3,)", "(4,)"]),
        (lambda: ranking.kendall(np.zeros(0), np.zeros(0)), ["(0,)"]),
        (lambda: ranking.kendall(np.zeros(3), np.zeros(3), "c"), ["'a'", "'b'", "'c'"]),
        (lambda: ranking.top_count(0, 5), ["0 %", "(0, 100]"]),
        (lambda: ranking.best_rank_at(np.zeros(3), np.zeros(3), 0), ["N@K", "K >= 1", "0"]),
        (lambda: ranking.relative_at(np.zeros(3), -np.ones(3), 1), ["Rel@K", "-1.0"]),
        (lambda: ranking.precision_at(np.zeros(3), np.zeros(3), 5, "worst"), ["'ordinal'", "'worst'"]),
    ],
)
def test_bad_input(call, named):
    with raised(ScoreError, *named):
        call()
