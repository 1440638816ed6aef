"""The mating of PO-NAS in pymoo's terms: pairs, a crossover along the operation path, whole neighbourhoods.

Pairs that promise much are far apart early in the evolution, and score high late in it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.mating import Mating
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.selection import Selection

from po_nas.errors import ConfigError, EditPathError
from po_nas.evolution.evolve import KeyDuplicateElimination, column
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.pool import PoolSpace

__all__ = [
    "Neighbourhood",
    "PairSelection",
    "PathCrossover",
    "PathMating",
    "edit_path",
    "pair_scores",
    "path_crossover",
]


def edit_path(
    space: Space,
    start: Architecture,
    end: Architecture,
    rng: np.random.Generator | None = None,
    steps: int | None = None,
) -> list[Architecture]:
    """A shortest path from `start` to `end`, both included: every entry is one elementary edit from the one before.

    It has ``edit_distance(start, end) + 1`` entries, fewer when it is to stop after so many `steps`, or where one edit
    settles several choices at once (`Space.neighbours_complete` is False). Each edit is drawn
    uniformly from all that come nearer to the end, so where edits do not depend on each other their order is uniformly
    random; without `rng` it is the first such edit in the order of `Space.neighbours`. The path through a `PoolSpace`
    leads through its base space, for members are rarely one edit apart. Raises `EditPathError` when the space's
    neighbours and edit distance contradict each other.
    """
    if isinstance(space, PoolSpace):
        space = space.base
    path = [start]
    # The end goes first: spaces that search for distances keep what they found from there.
    left = space.edit_distance(end, start)
    last = 0 if steps is None else max(left - steps, 0)
    while left > last:
        nearer = space.steps_towards(path[-1], end)
        choices = list(islice(nearer, 1) if rng is None else nearer)
        if not choices:
            raise EditPathError(space.name, space.to_string(path[-1]), space.to_string(end), left)
        path.append(choices[0 if rng is None else int(rng.integers(len(choices)))])
        left = left - 1 if space.neighbours_complete else space.edit_distance(end, path[-1])
    return path


def path_crossover(space: Space, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
    """The point half-way along a random shortest path from `second` to `first`.

    Of the d edits a random half, rounded down, is left out; the others are applied to `second`. So the child c lies on
    a shortest path, d(first, c) + d(c, second) = d, at d(first, c) = d // 2. In a `PoolSpace` it is the member whose
    vector encoding is nearest to that point.
    """
    walked = space.base if isinstance(space, PoolSpace) else space
    distance = walked.edit_distance(first, second)
    child = edit_path(walked, second, first, rng, distance - distance // 2)[-1]
    if isinstance(space, PoolSpace):
        gaps = space.vectors - space.base.encode_vector(child).astype(np.float32)
        nearest = int(np.einsum("nd,nd->n", gaps, gaps).argmin())
        return next(islice(space.enumerate(), nearest, None))
    return child


_Floats = NDArray[np.float64]


def pair_scores(costs: _Floats, scores: _Floats, progress: float, *, reference: bool = False) -> _Floats:
    """Scores (p,) of p pairs from their path costs (p,) and the sums (p,) of the predicted scores of their members.

    Eq. 9 of the paper: N·cost + (1 - N)·score, both min-max normalised over the pairs; N = 1 - `progress` decays
    linearly from 1 to 0 over the evolution phase. `reference` is the form of the authors' released code instead, which
    is not convex: score + N·cost with the score as it is. Where all costs (or scores) are equal they normalise to 0.
    Raises `ConfigError` for a `progress` outside 0 to 1.

    Source: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search,
    NeurIPS 2025.
    """
    if not 0.0 <= progress <= 1.0:
        raise ConfigError("progress", progress, "expected 0 (start of the evolution) to 1 (its end)")
    weight = 1.0 - progress
    if reference:
        return scores + weight * _normalised(costs)
    return weight * _normalised(costs) + (1.0 - weight) * _normalised(scores)


def _normalised(values: _Floats) -> _Floats:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


class PairSelection(Selection):  # type: ignore[misc]
    """The best pairs of a population by `pair_scores`, best first, the better-scored parent first in each.

    All pairs are compared, so the population should be an elite. The result has shape (m, 2), m at most the number
    asked for. Ties go to the pair that comes first. Draws no random numbers.
    """

    def __init__(self, space: Space, progress: float, *, reference: bool = False) -> None:
        super().__init__()
        self._space, self._progress, self._reference = space, progress, reference

    def _do(self, problem: Any, pop: Any, n_select: int, n_parents: int, *args: Any, **kwargs: Any) -> NDArray[np.intp]:
        order = np.argsort(pop.get("F")[:, 0], kind="stable")
        scores = -pop.get("F")[order, 0]
        ranked = pop.get("X")[order, 0]
        i, j = np.triu_indices(len(ranked), 1)
        costs = [self._space.edit_distance(ranked[a], ranked[b]) for a, b in zip(i.tolist(), j.tolist(), strict=True)]
        found = pair_scores(
            np.array(costs, dtype=np.float64), scores[i] + scores[j], self._progress, reference=self._reference
        )
        best = np.argsort(-found, kind="stable")[:n_select]
        return np.stack([order[i[best]], order[j[best]]], axis=1)


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
