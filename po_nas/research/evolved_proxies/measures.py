"""How good an order of architectures is: over all of them, and where a search would look."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.research import ranking

__all__ = ["TOP", "judge", "log_ranks", "ranks"]

F64: TypeAlias = NDArray[np.float64]

TOP = ("1", "5", "10", "1%")
"""Sizes of the top that is looked at."""


def judge(scores: F64, accuracy: F64) -> dict[str, float]:
    """Figures of scores (n,) against accuracies (n,), both higher = better; ties go by a fixed random key.

    ``tau``: Kendall's τ_b. ``regret@k``: the best accuracy of all less the best among the k highest scores, in the
    metric's own unit; ``loss@k``: the same as a share of the distance between the best and the median accuracy.
    ``rank@10``: mean true rank of the ten highest scores, in % of n (0 = the best).
    """
    n = len(accuracy)
    best, median = float(accuracy.max()), float(np.median(accuracy))
    order = np.lexsort((np.random.default_rng(0).permutation(n), -scores))
    found = {"tau": ranking.kendall(scores, accuracy)}
    for top in TOP:
        count = max(1, n // 100) if top.endswith("%") else min(int(top), n)
        lost = best - float(accuracy[order[:count]].max())
        found[f"regret@{top}"] = lost
        found[f"loss@{top}"] = lost / (best - median) if best > median else 0.0
    places = ranking.true_ranks(accuracy)[order[: min(10, n)]]
    found["rank@10"] = 100.0 * float(np.mean(places - 1)) / n
    return found


def ranks(column: F64) -> F64:
    """Ranks (n,) within the column, in (0, 1), ties averaged; a missing score has .5."""
    from scipy.stats import rankdata

    found = np.full(len(column), 0.5)
    known = np.isfinite(column)
    if known.any():
        found[known] = (rankdata(column[known]) - 0.5) / known.sum()
    return found


def log_ranks(columns: list[F64]) -> F64:
    """The sum of the logarithms of the ranks of several columns (n,), untrained.

    Source: Lee and Ham, AZ-NAS, CVPR 2024, arXiv 2403.19232.
    """
    return np.asarray(np.sum([np.log(ranks(column)) for column in columns], axis=0))
