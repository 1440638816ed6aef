"""The search for the maximum of an acquisition function in a space of named choices, of any kind."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence

import numpy as np
from scipy.sparse import csr_array

from po_nas.spaces.base import Architecture, Space
from surrogates.acquisition import GPScorer

__all__ = ["climbed"]

_SAMPLED, _PARENTS, _CHILDREN = 60, 10, 15
"""Where the search begins: random architectures, and mutants of the first parents."""
_CLIMBERS, _STEPS, _MUTANTS = 4, 5, 12
"""Architectures that climb at a time, and gradient steps and mutants of each."""
_AGAIN = 0.4
"""The chance that a mutant is mutated once more."""


def climbed(
    space: Space,
    scorer: GPScorer,
    parents: Sequence[Architecture],
    rng: np.random.Generator,
    *,
    key: Callable[[Architecture], Hashable],
    known: Container[Hashable] = (),
    number: int = 60,
    climbs: int = 3,
) -> list[Architecture]:
    """Architectures with a high marginal acquisition.

    The search begins with random ones and with mutants of the parents. What lies on a scale then follows the gradient
    of the acquisition function, everything else mutations, in turns.

    Args:
        space: One with `Space.vector_groups`.
        scorer: Of vector encodings, by choice.
        parents: The best so far, best first.
        rng: All randomness.
        key: Two with the same key are one.
        known: Keys of those that are not wanted.
        number: Wanted.
        climbs: How often gradient steps and mutations follow each other.

    Returns:
        The best of those that were scored, best first; none where all of them are known.
    """
    scored: dict[Hashable, tuple[float, Architecture]] = {}

    def best(count: int) -> list[Architecture]:
        return [a for _, a in sorted(scored.values(), key=lambda pair: (-pair[0], pair[1]))[:count]]

    def add(found: Sequence[Architecture]) -> None:
        new = {key(a): a for a in found}
        new = {k: a for k, a in new.items() if k not in scored and k not in known}
        if new:
            values = scorer.marginal((csr_array(space.encode_vectors(list(new.values()))),))
            scored.update((k, (float(value), a)) for (k, a), value in zip(new.items(), values, strict=True))

    children = [_mutant(space, parent, rng) for parent in parents[:_PARENTS] for _ in range(_CHILDREN)]
    add([*(space.sample(rng) for _ in range(_SAMPLED)), *children])
    for _ in range(climbs if scored else 0):
        climbers = best(_CLIMBERS)
        columns = [space.scale_columns(a) for a in climbers]
        free = np.zeros((len(climbers), space.vector_size), dtype=bool)
        for row, own in enumerate(columns):
            free[row, own] = True
        moved = scorer.ascended(space.encode_vectors(climbers), free, _STEPS)
        places = [space.at_places(a, row[own]) for a, row, own in zip(climbers, moved, columns, strict=True)]
        there = [a for a in places if a is not None]
        add([*there, *(_mutant(space, a, rng) for a in [*climbers, *there] for _ in range(_MUTANTS))])
    return best(number)


def _mutant(space: Space, architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """One choice changed, or several."""
    architecture = space.mutate(architecture, rng)
    while rng.random() < _AGAIN:
        architecture = space.mutate(architecture, rng)
    return architecture
