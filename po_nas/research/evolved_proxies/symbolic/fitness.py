"""What a formula is worth: its τ on every problem, made one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.formula import Node, leaves
from po_nas.research.evolved_proxies.symbolic.kendall import Kendall
from po_nas.research.evolved_proxies.symbolic.problem import Problem
from proxies.evolved.functions import evaluate
from proxies.evolved.reference import Reference, fit

__all__ = ["Aggregate", "aggregate", "scores", "seconds_of", "space_means", "tau"]

F64: TypeAlias = NDArray[np.float64]
Aggregate = Literal["mean", "mean-sd", "min"]
"""Mean over the problems; mean less a multiple of the standard deviation; the worst."""


def aggregate(taus: F64, how: Aggregate, sd_weight: float = 0.5) -> F64:
    """One number (m,) of τ (m, p); a formula without a value somewhere (NaN) gets −2, which is below all others."""
    if how == "mean":
        found = taus.mean(axis=1)
    elif how == "mean-sd":
        found = taus.mean(axis=1) - sd_weight * taus.std(axis=1)
    else:
        found = taus.min(axis=1)
    return np.where(np.isnan(found), -2.0, found)


def space_means(taus: F64, spaces: Sequence[str]) -> F64:
    """τ (m, p) of p problems averaged over the problems of each space, (m, s), in the order of first mention."""
    where = np.array(spaces)
    return np.stack([taus[:, where == space].mean(axis=1) for space in dict.fromkeys(spaces)], axis=1)


def scores(formula: Node, problem: Problem, normaliser: str | Reference = "rank") -> F64:
    """The formula's values (n,) on a problem.

    `normaliser` is a reference, or the kind of one that is then fitted on all architectures of the problem
    (transductive: scores, never accuracies). A leaf that the problem or the reference lacks is missing throughout.
    """
    used = leaves(formula)
    n = len(problem)
    columns = {leaf: problem.columns.get(leaf, np.full(n, np.nan)) for leaf in used}
    reference = fit(normaliser, columns) if isinstance(normaliser, str) else normaliser
    ready = {
        leaf: reference.transform(leaf, column) if leaf in reference.samples else np.full(n, 0.5)
        for leaf, column in columns.items()
    }
    return np.broadcast_to(evaluate(formula, ready), (n,)).astype(np.float64)


def tau(formula: Node, problem: Problem, normaliser: str | Reference = "rank") -> float:
    """Kendall's τ-b of a formula on a problem, as SciPy computes it; 0 for a formula that is constant there."""
    return float(Kendall(problem.accuracy)(scores(formula, problem, normaliser))[0])


def seconds_of(problems: Sequence[Problem]) -> Mapping[str, float]:
    """Seconds of every column: the mean of the problems that know it. Graph features take none; others are unknown."""
    found: dict[str, list[float]] = {}
    for problem in problems:
        for name in problem.columns:
            if name.startswith("g_"):
                found.setdefault(name, []).append(0.0)
            elif name in problem.seconds:
                found.setdefault(name, []).append(problem.seconds[name])
    return {name: float(np.mean(values)) for name, values in found.items()}
