"""The problem and the operators of pymoo: X of a solution is an object array of shape (1,) with one `Architecture`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
    """The space's crossover of two parents, one child."""

    def __init__(self, space: Space, probability: float) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=probability)
        self._space = space

    def _do(
        self, problem: Any, X: NDArray[np.object_], *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> NDArray[np.object_]:
        children = [self._space.crossover(a, b, random_state) for a, b in zip(X[0, :, 0], X[1, :, 0], strict=True)]
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
