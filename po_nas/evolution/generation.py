"""One generation of PO-NAS's evolution: from a scored pool to new architectures."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from po_nas.errors import ConfigError, ScoreError
from po_nas.evolution.evolve import Score, column
from po_nas.evolution.mating import PathMating
from po_nas.spaces.base import Architecture, Space

__all__ = ["generation", "select_survivors"]


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
    of them (see `po_nas.evolution.mating.pair_scores` for `progress` and `reference`) have one child each, half-way
    along a shortest operation path, and its neighbours. Offspring come pair by pair, the child before its neighbours.
    None is there twice by key, in the pool, of the same key as an elite, or of a key in `known` (such as the keys of
    the pool, where its isomorphic twins are to be left out as well).

    `rng` draws the paths. Raises `ScoreError` when fewer than two different architectures have a finite score or
    the shapes differ, `ConfigError` when a number cannot be used.

    Source: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search,
    NeurIPS 2025.
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
