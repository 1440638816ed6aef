"""A genetic algorithm that looks for the architectures an acquisition function likes best."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import GA

from po_nas.evolution.operators import (
    ArchitectureCrossover,
    ArchitectureMutation,
    ArchitectureProblem,
    ArchitectureSampling,
    KeyDuplicateElimination,
    Score,
)
from po_nas.spaces.base import Architecture, Space

__all__ = ["evolve"]


def evolve(
    space: Space,
    score: Score,
    rng: np.random.Generator,
    *,
    start: Sequence[Architecture] = (),
    key: Callable[[Architecture], Hashable] | None = None,
    population: int = 100,
    generations: int = 20,
    crossover: float = 0.5,
    mutation: float = 0.9,
) -> list[tuple[Architecture, float]]:
    """Evolve architectures under `score` and return all that were scored, best first, with their scores.

    `start` joins the first population, the rest of which is drawn from the space. Duplicates are eliminated by `key`
    (default: the space's canonical key). `crossover` and `mutation` are probabilities per child. Deterministic given
    `rng`, of which one integer is drawn; pymoo runs on a generator of its own seeded with it.
    """
    # A key is asked for again in every generation, and may take long to compute.
    identity = cache(key or space.canonical)
    problem = ArchitectureProblem(score, identity)
    algorithm = GA(
        pop_size=population,
        sampling=ArchitectureSampling(space, start),
        crossover=ArchitectureCrossover(space, crossover),
        mutation=ArchitectureMutation(space, mutation),
        eliminate_duplicates=KeyDuplicateElimination(identity),
    )
    algorithm.setup(problem, termination=("n_gen", generations), seed=int(rng.integers(2**31)), verbose=False)
    while algorithm.has_next():
        algorithm.next()
    scored = [(architecture, float(row[0])) for architecture, row in problem.archive.values()]
    # Ties are broken by the code, so that the order does not depend on the history of a dictionary.
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))
