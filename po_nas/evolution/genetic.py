"""A genetic algorithm of pymoo over architectures, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm

from po_nas.evolution.operators import (
    ArchitectureCrossover,
    ArchitectureMutation,
    ArchitectureSampling,
    KeyDuplicateElimination,
)
from po_nas.evolution.problem import ArchitectureProblem
from po_nas.spaces.base import Architecture, Space

__all__ = ["run_genetic"]


def run_genetic(
    kind: Callable[..., GeneticAlgorithm],
    problem: ArchitectureProblem,
    space: Space,
    identity: Callable[[Architecture], Hashable],
    rng: np.random.Generator,
    *,
    start: Sequence[Architecture],
    population: int,
    generations: int,
    crossover: float,
    mutation: float,
) -> None:
    """Run an algorithm of that `kind` to its end; `problem` keeps what was scored. One integer is drawn from `rng`."""
    algorithm = kind(
        pop_size=population,
        sampling=ArchitectureSampling(space, start),
        crossover=ArchitectureCrossover(space, crossover),
        mutation=ArchitectureMutation(space, mutation),
        eliminate_duplicates=KeyDuplicateElimination(identity),
    )
    algorithm.setup(problem, termination=("n_gen", generations), seed=int(rng.integers(2**31)), verbose=False)
    while algorithm.has_next():
        algorithm.next()
