"""The mating of PO-NAS in pymoo's terms: pairs, a crossover along the operation path, whole neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.mating import Mating
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population

from po_nas.evolution.operators import KeyDuplicateElimination, column
from po_nas.evolution.pairs import PairSelection
from po_nas.evolution.paths import path_crossover
from po_nas.spaces.base import Architecture, Space

__all__ = ["Neighbourhood", "PathCrossover", "PathMating"]


class PathCrossover(Crossover):  # type: ignore[misc]
    """One child of two parents, half-way along a shortest operation path from the second to the first."""

    def __init__(self, space: Space) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self._space = space

    def _do(
        self, problem: Any, X: NDArray[np.object_], *args: Any, random_state: np.random.Generator, **kwargs: Any
    ) -> NDArray[np.object_]:
        children = [
            path_crossover(self._space, a, b, random_state) for a, b in zip(X[0, :, 0], X[1, :, 0], strict=True)
        ]
        return column(children)[None]


class Neighbourhood(Mutation):  # type: ignore[misc]
    """Each solution followed by all its neighbours; no mutation rate, no random numbers, a larger population."""

    def __init__(self, space: Space) -> None:
        super().__init__(prob=1.0)
        self._space = space

    def do(self, problem: Any, pop: Any, *args: Any, **kwargs: Any) -> Any:
        """The solutions and their neighbours as a new population, in the order of `Space.neighbours`."""
        near: list[Architecture] = []
        for architecture in pop.get("X")[:, 0]:
            near += [architecture, *self._space.neighbours(architecture)]
        return Population.new("X", column(near))


class PathMating(Mating):  # type: ignore[misc]
    """All offspring of the best pairs of an elite, none twice and none that is in the elite.

    `do` takes the number of pairs for pymoo's number of offspring, and returns as many offspring as they have: 129 for
    a pair of DARTS architectures at most. Two are the same when their keys are.
    """

    def __init__(
        self, space: Space, progress: float, key: Callable[[Architecture], Hashable], *, reference: bool = False
    ) -> None:
        super().__init__(
            selection=PairSelection(space, progress, reference=reference),
            crossover=PathCrossover(space),
            mutation=Neighbourhood(space),
            eliminate_duplicates=KeyDuplicateElimination(key),
        )

    def do(self, problem: Any, pop: Any, n_offsprings: int, *, random_state: np.random.Generator, **kwargs: Any) -> Any:
        """Mate once; pymoo's own loop would fill up to a number and cut off what exceeds it."""
        offspring = self._do(problem, pop, n_offsprings, random_state=random_state, **kwargs)
        return self.eliminate_duplicates.do(offspring, pop)
