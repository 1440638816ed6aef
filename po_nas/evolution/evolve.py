"""A genetic algorithm that looks for the architectures an acquisition function likes best."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from po_nas.spaces.base import Architecture, Space

__all__ = [
    "ArchitectureCrossover",
    "ArchitectureMutation",
    "ArchitectureProblem",
    "ArchitectureSampling",
    "KeyDuplicateElimination",
    "Score",
    "column",
    "evolve",
]

Score = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""Scores (n,) of n architectures, higher is better."""


class ArchitectureProblem(Problem):  # type: ignore[misc]
    """Maximises `score`; pymoo minimises, so objectives are its negatives.

    `archive` keeps every architecture that was scored, under its key, with its scores.
    """

    def __init__(self, score: Score, key: Callable[[Architecture], Hashable]) -> None:
        super().__init__(n_var=1, n_obj=1, vtype=object)
        self._score, self._key = score, key
        self.archive: dict[Hashable, tuple[Architecture, NDArray[np.float64]]] = {}

    def _evaluate(self, X: NDArray[np.object_], out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        architectures = list(X[:, 0])
        scores = np.asarray(self._score(architectures), dtype=np.float64).reshape(len(architectures), self.n_obj)
        for architecture, row in zip(architectures, scores, strict=True):
            self.archive.setdefault(self._key(architecture), (architecture, row))
        out["F"] = -scores


def column(architectures: Sequence[Architecture]) -> NDArray[np.object_]:
    """Architectures as the (n, 1) object array that pymoo calls X."""
    X = np.empty((len(architectures), 1), dtype=object)
    X[:, 0] = architectures
    return X


class ArchitectureSampling(Sampling):  # type: ignore[misc]
    """Starts from given architectures and fills up with draws from the space."""

    def __init__(self, space: Space, start: Sequence[Architecture] = ()) -> None:
        super().__init__()
        self._space, self._start = space, tuple(start)

    def _do(
        self, problem: Any, n_samples: int, *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> NDArray[np.object_]:
        start = list(self._start[:n_samples])
        return column([*start, *(self._space.sample(random_state) for _ in range(n_samples - len(start)))])


class ArchitectureCrossover(Crossover):  # type: ignore[misc]
    """One child of two parents, `child`; by default the space's crossover."""

    def __init__(
        self,
        space: Space,
        probability: float = 1.0,
        child: Callable[[Space, Architecture, Architecture, np.random.Generator], Architecture] | None = None,
    ) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=probability)
        self._space, self._child = space, child or type(space).crossover

    def _do(
        self, problem: Any, X: NDArray[np.object_], *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> NDArray[np.object_]:
        pairs = zip(X[0, :, 0], X[1, :, 0], strict=True)
        children = [self._child(self._space, a, b, random_state) for a, b in pairs]
        return column(children)[None]


class ArchitectureMutation(Mutation):  # type: ignore[misc]
    """One elementary edit of the space."""

    def __init__(self, space: Space, probability: float) -> None:
        super().__init__(prob=probability)
        self._space = space

    def _do(
        self, problem: Any, X: NDArray[np.object_], *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> NDArray[np.object_]:
        return column([self._space.mutate(a, random_state) for a in X[:, 0]])


class KeyDuplicateElimination(DuplicateElimination):  # type: ignore[misc]
    """Two solutions are duplicates when their keys are equal; linear in the population, unlike pairwise comparison."""

    def __init__(self, key: Callable[[Architecture], Hashable]) -> None:
        super().__init__()
        self._key = key

    def _do(self, pop: Any, other: Any, is_duplicate: NDArray[np.bool_]) -> NDArray[np.bool_]:
        known = set() if other is None else {self._key(individual.X[0]) for individual in other}
        for position, individual in enumerate(pop):
            key = self._key(individual.X[0])
            is_duplicate[position] = key in known
            if other is None:
                known.add(key)
        return is_duplicate


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
