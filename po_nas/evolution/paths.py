"""Operation paths: the shortest sequence of elementary edits from one architecture to another.

Source: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS 2025
(crossover along the shortest operation path). The cost of a path is the space's edit distance, so it is minimal.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from po_nas.errors import EditPathError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.pool import PoolSpace

__all__ = ["edit_path", "path_crossover"]


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
