"""How well predicted scores order architectures: over the whole list, and at its top.

Everything here takes `predicted` (n,) and `true` (n,), higher = better, and costs O(n log n). A NaN in `predicted` is
an error; a NaN in `true` (an architecture known to fail) ranks last. Published definitions: "Loss Functions for
Predictor-based Neural Architecture Search", ICCV 2025, arXiv 2506.05869; GATES, ECCV 2020, arXiv 2004.01899.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import kendalltau, rankdata, spearmanr
from scipy.stats import weightedtau as scipy_weightedtau

from po_nas.errors import ScoreError

__all__ = [
    "best_rank_at",
    "best_rank_curve",
    "kendall",
    "ndcg_at",
    "precision_at",
    "precision_curve",
    "relative_at",
    "spearman",
    "top_count",
    "true_ranks",
    "weighted_tau",
]

Scores = NDArray[np.float64]


def _checked(predicted: Scores, true: Scores) -> tuple[Scores, Scores]:
    predicted, true = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if predicted.shape != true.shape or predicted.ndim != 1 or not len(true):
        raise ScoreError(f"shapes {predicted.shape} and {true.shape}: expected two non-empty (n,) arrays of one length")
    bad = np.flatnonzero(np.isnan(predicted))
    if len(bad):
        raise ScoreError(f"predicted[{bad[0]}] is NaN ({len(bad)} of {len(true)}): rank missing scores last explicitly")
    return predicted, np.where(np.isnan(true), -np.inf, true)


def _constant(*arrays: Scores) -> bool:
    return any(bool((array == array[0]).all()) for array in arrays)


def kendall(predicted: Scores, true: Scores, variant: str = "b") -> float:
    """Kendall's τ_b (ties corrected) or, with ``variant="a"``, τ_a = 2 (concordant − discordant) / (n (n − 1)).

    0 when all predictions, or all true values, are equal: such scores order nothing.
    """
    if variant not in ("a", "b"):
        raise ScoreError(f"Kendall's tau has variants 'a' and 'b', not {variant!r}")
    predicted, true = _checked(predicted, true)
    if len(true) < 2 or _constant(predicted, true):
        return 0.0
    tau = float(kendalltau(rankdata(predicted, "dense"), rankdata(true, "dense")).statistic)
    if variant == "b":
        return tau
    pairs = len(true) * (len(true) - 1) / 2
    return tau * float(np.sqrt((pairs - _tied_pairs(predicted)) * (pairs - _tied_pairs(true)))) / pairs


def _tied_pairs(values: Scores) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float(np.sum(counts * (counts - 1) / 2))


def spearman(predicted: Scores, true: Scores) -> float:
    """Spearman's ρ, ties averaged; 0 when either side is constant."""
    predicted, true = _checked(predicted, true)
    if len(true) < 2 or _constant(predicted, true):
        return 0.0
    return float(spearmanr(rankdata(predicted), rankdata(true)).statistic)


def weighted_tau(predicted: Scores, true: Scores) -> float:
    """Vigna's additive hyperbolic weighted τ, exchanges near the top weighing most; averaged over both rankings.

    "A weighted correlation index for rankings with ties", WWW 2015, arXiv 1404.3325. 0 when either side is constant.
    """
    predicted, true = _checked(predicted, true)
    if len(true) < 2 or _constant(predicted, true):
        return 0.0
    return float(scipy_weightedtau(rankdata(predicted), rankdata(true)).statistic)


def top_count(percent: float, n: int) -> int:
    """How many architectures the top `percent` (0, 100] of n are: max(1, ⌊percent · n / 100⌋)."""
    if not 0 < percent <= 100:
        raise ScoreError(f"a top share of {percent} % is not in (0, 100]")
    # 0.1 · 15,000 / 100 must be 15 in floating point as well.
    return max(1, int(np.floor(percent * n / 100 + 1e-9)))


def _order(values: Scores) -> NDArray[np.intp]:
    """Best first; ties in the order of a fixed random key, for table order knows too much about operations."""
    key = np.random.default_rng(0).permutation(len(values))
    return np.lexsort((key, -values))


def precision_at(predicted: Scores, true: Scores, percent: float, ties: str = "ordinal") -> float:
    """Precision@T: share (%) of the predicted top `percent` that truly belongs there.

    ``ties="ordinal"`` breaks ties by a fixed random key, independent of the order of the table. ``"competition"`` lets
    everything that ties with the last of the true top count as top, which is optimistic.
    """
    if ties == "ordinal":
        return precision_curve(predicted, true, (percent,))[0]
    if ties != "competition":
        raise ScoreError(f"ties may be 'ordinal' or 'competition', not {ties!r}")
    predicted, true = _checked(predicted, true)
    k = top_count(percent, len(true))
    return float(np.mean(true[_order(predicted)[:k]] >= np.sort(true)[-k]) * 100)


def precision_curve(predicted: Scores, true: Scores, percents: Sequence[float]) -> list[float]:
    """`precision_at` for several shares at the cost of one."""
    predicted, true = _checked(predicted, true)
    counts = [top_count(percent, len(true)) for percent in percents]
    # Another key than that of the predictions, or equal predictions would look right where truths tie too.
    truly = np.lexsort((np.random.default_rng(1).permutation(len(true)), -true))
    place = np.empty(len(true), dtype=np.int64)
    place[truly] = np.arange(len(true))
    chosen = place[_order(predicted)[: max(counts)]]
    return [float(np.mean(chosen[:k] < k) * 100) for k in counts]


def true_ranks(true: Scores) -> NDArray[np.int64]:
    """Rank r_i = 1 + #{j: y_j > y_i} of (n,) values, 1 = best."""
    ranks: NDArray[np.int64] = rankdata(-np.where(np.isnan(true), -np.inf, true), "min").astype(np.int64)
    return ranks


def best_rank_at(predicted: Scores, true: Scores, k: int) -> float:
    """N@K: the best true rank among the K best predicted.

    Predictions that tie at the K-th place are taken by lot; the result is the exact expectation over that lot.
    """
    return best_rank_curve(predicted, true, (k,))[0]


def best_rank_curve(predicted: Scores, true: Scores, ks: Sequence[int]) -> list[float]:
    """`best_rank_at` for several K at the cost of one."""
    predicted, true = _checked(predicted, true)
    if min(ks) < 1:
        raise ScoreError(f"N@K needs K >= 1, got {min(ks)}")
    ranks, ordered = true_ranks(true), np.sort(predicted)
    return [_best_rank(predicted, ranks, min(k, len(true)), ordered[-min(k, len(true))]) for k in ks]


def _best_rank(predicted: Scores, ranks: NDArray[np.int64], k: int, boundary: float) -> float:
    above = ranks[predicted > boundary]
    drawn = k - len(above)
    tied = np.sort(ranks[predicted == boundary])
    sure = int(above.min()) if len(above) else len(ranks) + 1
    if drawn == len(tied):
        return float(min(sure, int(tied[0])))
    # P(the best drawn is the j-th best of the g tied) = C(g − 1 − j, m − 1) / C(g, m).
    g, j = len(tied), np.arange(len(tied) - drawn + 1)
    log_choose = gammaln(g - j) - gammaln(drawn) - gammaln(g - j - drawn + 1)
    log_all = gammaln(g + 1) - gammaln(drawn + 1) - gammaln(g - drawn + 1)
    probability = np.exp(log_choose - log_all)
    return float(np.sum(probability * np.minimum(tied[: len(j)], sure)))


def relative_at(predicted: Scores, true: Scores, k: int) -> float:
    """Rel@K: the best true value among the K best predicted, over the best there is (true values positive)."""
    predicted, true = _checked(predicted, true)
    best = float(true.max())
    if not best > 0:
        raise ScoreError(f"Rel@K is a ratio of accuracies; the best value here is {best}")
    return float(true[_order(predicted)[:k]].max()) / best


def ndcg_at(predicted: Scores, true: Scores, k: int) -> float:
    """nDCG@K with gains 2^(5u) − 1, u the quantile of the true rank: 1 for the best, 0 for the worst.

    Accuracies themselves are too close to each other to be gains.
    """
    predicted, true = _checked(predicted, true)
    n, k = len(true), min(k, len(true))
    gains = np.exp2(5 * (1 - (rankdata(-true) - 1) / max(n - 1, 1))) - 1
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = float(np.sort(gains)[::-1][:k] @ discounts)
    return float(gains[_order(predicted)[:k]] @ discounts) / ideal if ideal > 0 else 0.0
