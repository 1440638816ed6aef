"""Fronts: what no other dominates, the order that this gives, and the hypervolume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymoo.indicators.hv import Hypervolume
from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting, find_non_dominated

__all__ = ["BEYOND", "front_of", "hypervolume", "pareto_scores", "reference_point"]

BEYOND = 0.1
"""How far the reference point lies beyond the worst values of a front, in shares of its extent."""

F64 = NDArray[np.float64]


def front_of(losses: F64) -> NDArray[np.intp]:
    """Places of the points (n, k) that no other dominates, lower is better; of equal ones the first.

    They are sorted by the first loss, then by the others. Points that are not finite are on no front.
    """
    known = np.flatnonzero(np.isfinite(losses).all(axis=1))
    if not len(known):
        return known
    _, first = np.unique(losses[known], axis=0, return_index=True)
    distinct = known[first]
    return np.asarray(distinct[np.sort(find_non_dominated(losses[distinct]))], dtype=np.intp)


def pareto_scores(losses: F64, violations: F64 | None = None) -> F64:
    """Scores (n,), higher is better, that order points (n, k) as NSGA-II does.

    By the number of the front that is left when those before it are taken away, on one front by crowding distance;
    points that break limits come after all others, by their `violations` (n,). Points that are not finite have minus
    infinity. Equal points have equal scores.

    Source: Deb, Pratap, Agarwal and Meyarivan, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE
    Transactions on Evolutionary Computation 6(2), 2002.
    """
    scores = np.full(len(losses), -np.inf)
    beyond = np.zeros(len(losses)) if violations is None else violations
    kept = np.flatnonzero(np.isfinite(losses).all(axis=1) & (beyond == 0))
    place = 0.0
    if len(kept):
        points, inverse = np.unique(losses[kept], axis=0, return_inverse=True)
        found = np.zeros(len(points))
        for number, members in enumerate(NonDominatedSorting().do(points)):
            # Less than one front apart, the least crowded first.
            crowding = get_crowding_function("cd").do(points[members])
            found[members] = -number - 0.5 + 0.5 * (1.0 - 1.0 / (1.0 + crowding))
            place = -float(number) - 1.0
        scores[kept] = found[inverse]
    broken = np.flatnonzero(np.isfinite(losses).all(axis=1) & (beyond > 0))
    scores[broken] = place - 1.0 + 1.0 / (1.0 + beyond[broken])
    return scores


def reference_point(losses: F64) -> F64:
    """A point (k,) that is worse than all of the points (n, k): a tenth of their extent beyond the worst values.

    Source: Ishibuchi, Imada, Setoguchi and Nojima, How to Specify a Reference Point in Hypervolume Calculation for Fair
    Performance Comparison, Evolutionary Computation 26(3), 2018.
    """
    worst = losses.max(axis=0)
    extent = worst - losses.min(axis=0)
    # Where all are equal, any distance will do.
    extent = np.where(extent > 0, extent, np.abs(worst))
    return np.asarray(worst + BEYOND * np.where(extent > 0, extent, 1.0), dtype=np.float64)


def hypervolume(losses: F64, reference: F64) -> float:
    """The volume between points (n, k) and a reference point (k,), lower is better; 0 where none is better than it."""
    inside = losses[np.isfinite(losses).all(axis=1) & (losses < reference).all(axis=1)]
    return float(Hypervolume(ref_point=reference)(inside)) if len(inside) else 0.0
