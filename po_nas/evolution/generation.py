"""One generation of PO-NAS's evolution: from a scored pool to new architectures.

In pymoo's terms it is a mating: pairs, a crossover along the shortest operation path, and whole neighbourhoods. Pairs
that promise much are far apart early in the evolution, and score high late in it. The cost of a path is the space's
edit distance, so it is minimal.

Source: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.mating import Mating
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.selection import Selection

from po_nas.errors import ConfigError, EditPathError, ScoreError
from po_nas.evolution.evolve import ArchitectureCrossover, KeyDuplicateElimination, Score, column
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.pool import PoolSpace

__all__ = [
    "PairSelection",
    "PathMating",
    "edit_path",
    "generation",
    "pair_scores",
    "path_crossover",
    "select_survivors",
]


def edit_path(
    space: Space,
    start: Architecture,
    end: Architecture,
    rng: np.random.Generator | None = None,
    steps: int | None = None,
) -> list[Architecture]:
    """A shortest path from `start` to `end`, both included: every entry is one elementary edit from the one before.

    It has ``edit_distance(start, end) + 1`` entries, fewer when it is to stop after so many `steps`. Each edit is drawn
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
            crossover=ArchitectureCrossover(space, child=path_crossover),
            mutation=Neighbourhood(space),
            eliminate_duplicates=KeyDuplicateElimination(key),
        )

    def do(self, problem: Any, pop: Any, n_offsprings: int, *, random_state: np.random.Generator, **kwargs: Any) -> Any:
        """Mate once; pymoo's own loop would fill up to a number and cut off what exceeds it."""
        offspring = self._do(problem, pop, n_offsprings, random_state=random_state, **kwargs)
        return self.eliminate_duplicates.do(offspring, pop)


def generation(
    space: Space,
    pool: Sequence[Architecture],
    scores: NDArray[np.float64],
    rng: np.random.Generator,
    progress: float,
    *,
    elite: int = 20,
    pairs: int = 20,
    reference: bool = False,
    key: Callable[[Architecture], Hashable] | None = None,
    known: Container[Hashable] = (),
) -> list[Architecture]:
    """The offspring of a pool, given its predicted scores (n,), higher is better, not finite where unknown.

    The `elite` best of the pool, different by `key` (default: the space's canonical key), form pairs; the best `pairs`
    of them (see `pair_scores` for `progress` and `reference`) have one child each, half-way
    along a shortest operation path, and its neighbours. Offspring come pair by pair, the child before its neighbours.
    None is there twice by key, in the pool, of the same key as an elite, or of a key in `known` (such as the keys of
    the pool, where its isomorphic twins are to be left out as well).

    `rng` draws the paths. Raises `ScoreError` when fewer than two different architectures have a finite score or
    the shapes differ, `ConfigError` when a number cannot be used.
    """
    for name, value, least in (("elite", elite, 2), ("pairs", pairs, 1)):
        if value < least:
            raise ConfigError(name, value, f"expected {least} or more")
    if np.shape(scores) != (len(pool),):
        raise ScoreError(f"scores have shape {np.shape(scores)}, the pool holds {len(pool)}; give one for each")
    # A key is asked for at every comparison, and may take long to compute.
    identity = cache(key or space.canonical)
    chosen: dict[Hashable, int] = {}
    for position in np.argsort(-scores, kind="stable").tolist():
        if len(chosen) == elite:
            break
        if np.isfinite(scores[position]):
            chosen.setdefault(identity(pool[position]), position)
    if len(chosen) < 2:
        raise ScoreError(f"{len(chosen)} different architectures of the pool have a finite score; two make a pair")
    best = list(chosen.values())
    population = Population.new("X", column([pool[k] for k in best]), "F", -scores[best, None])
    mating = PathMating(space, progress, identity, reference=reference)
    found = mating.do(Problem(n_var=1, n_obj=1, vtype=object), population, pairs, random_state=rng)
    present = set(pool)
    return [
        architecture
        for architecture in (individual.X[0] for individual in found)
        if architecture not in present and identity(architecture) not in known
    ]


def select_survivors(offspring: Sequence[Architecture], predict: Score, keep: int) -> list[Architecture]:
    """The `keep` offspring with the highest predicted scores, best first; ties go to the one that comes first.

    Fewer where predictions are not finite. Raises `ScoreError` when there is not one prediction for each.
    """
    predicted = np.asarray(predict(offspring), dtype=np.float64) if len(offspring) else np.empty(0)
    if predicted.shape != (len(offspring),):
        raise ScoreError(f"predictions have shape {predicted.shape}, expected ({len(offspring)},)")
    order = [k for k in np.argsort(-predicted, kind="stable").tolist() if np.isfinite(predicted[k])]
    return [offspring[k] for k in order[: max(keep, 0)]]
