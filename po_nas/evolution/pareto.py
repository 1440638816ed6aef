"""Several objectives at once: NSGA-II over architectures, and the front of what it scored."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.util.nds.non_dominated_sorting import find_non_dominated

from po_nas.evolution.genetic import run_genetic
from po_nas.evolution.problem import ArchitectureProblem, Score
from po_nas.spaces.base import Architecture, Space

__all__ = ["evolve_pareto", "non_dominated"]

_UNUSABLE = -1e30
"""Stands for values that are not finite, in every objective: such an architecture is dominated by all others."""


def evolve_pareto(
    space: Space,
    scores: Score,
    rng: np.random.Generator,
    *,
    objectives: int,
    start: Sequence[Architecture] = (),
    key: Callable[[Architecture], Hashable] | None = None,
    population: int = 100,
    generations: int = 20,
    crossover: float = 0.5,
    mutation: float = 0.9,
) -> list[tuple[Architecture, NDArray[np.float64]]]:
    """Evolve architectures under (n, `objectives`) scores, higher is better, and return the front of all scored ones.

    The front is sorted by the first objective, best first. Architectures with a score that is not finite are never on
    it. Everything else is as for `evolve`: `start` joins the first population, the rest of which is drawn from the
    space; duplicates are eliminated by `key` (default: the space's canonical key); `crossover` and `mutation` are
    probabilities per child; one integer is drawn from `rng`.

    References: Deb, Pratap, Agarwal and Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
    Transactions on Evolutionary Computation 6(2), 2002.
    """
    identity = cache(key or space.canonical)

    def usable(architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        values = np.array(scores(architectures), dtype=np.float64).reshape(len(architectures), objectives)
        values[~np.isfinite(values).all(axis=1)] = _UNUSABLE
        return values

    problem = ArchitectureProblem(usable, identity, objectives)
    run_genetic(
        NSGA2,
        problem,
        space,
        identity,
        rng,
        start=start,
        population=population,
        generations=generations,
        crossover=crossover,
        mutation=mutation,
    )
    archive = [(architecture, row) for architecture, row in problem.archive.values() if row[0] != _UNUSABLE]
    front = [archive[k] for k in non_dominated(np.array([row for _, row in archive]).reshape(-1, objectives))]
    return sorted(front, key=lambda pair: (tuple(-pair[1]), pair[0]))


def non_dominated(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows of values (n, m), higher is better, that no other row beats: equal in all columns and better in one.

    Ascending; equal rows stay together, rows with a NaN are left out.
    """
    rows = np.flatnonzero(~np.isnan(values).any(axis=1))
    found: NDArray[np.intp] = rows[find_non_dominated(-values[rows])]
    return found
