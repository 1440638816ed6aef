"""Means with confidence intervals and paired tests over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

__all__ = ["LEVEL", "higher_or_lower", "holm", "mean_interval", "paired_p", "signed_rank"]

LEVEL = 0.05
"""What p-values have to be below."""


def mean_interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Mean of (n,) values over seeds and the half width of its Student confidence interval."""
    n = len(values)
    spread = float(np.std(values, ddof=1)) if n > 1 else float("nan")
    return float(np.mean(values)), float(student.ppf(0.5 + level / 2, n - 1) * spread / np.sqrt(n)) if n > 1 else spread


def signed_rank(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Ranks of the (n,) pairs in which `first` is higher minus those in which it is lower, ranked as in `paired_p`.

    Its sign is the direction that the test speaks of; that of the mean difference may be another where one pair
    differs by far.
    """
    differences = first - second
    return float(np.sum(np.sign(differences) * rankdata(np.abs(differences))))


def higher_or_lower(first: NDArray[np.float64], second: NDArray[np.float64], p: float) -> int:
    """What the test of `paired_p` says of (n,) pairs whose p-value, adjusted or not, is `p`.

    1 where `first` is higher, -1 where it is lower, by the signed ranks that are tested; 0 unless p is below 5 %.
    """
    return int(np.sign(signed_rank(first, second))) if p < LEVEL else 0


def paired_p(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test on (n,) paired values; 1 when all pairs are equal.

    Exact for any n and any ties: the null distribution of the rank sum is counted over all sign patterns. (With ties,
    which searches that all find the optimum have in plenty, the usual routines fall back to a normal approximation.)
    Zero differences are ranked with the others, then dropped (Pratt).
    """
    differences = first - second
    ranks = rankdata(np.abs(differences))[differences != 0]
    if not len(ranks):
        return 1.0
    # Twice the ranks are whole numbers, so the patterns can be counted by their sum.
    doubled = np.round(2 * ranks).astype(int)
    patterns = np.zeros(doubled.sum() + 1)
    patterns[0] = 1.0
    for rank in doubled:
        patterns[rank:] = 0.5 * (patterns[rank:] + patterns[: len(patterns) - rank])
        patterns[:rank] *= 0.5
    observed = int(doubled[differences[differences != 0] > 0].sum())
    return float(min(1.0, 2 * min(patterns[: observed + 1].sum(), patterns[observed:].sum())))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of a family of p-values."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, position in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = running
    return [float(p) for p in adjusted]
