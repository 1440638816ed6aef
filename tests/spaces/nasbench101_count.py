"""How many different cells NAS-Bench-101 holds, by counting instead of hashing."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from po_nas.spaces.nasbench101_graph import MAX_EDGES

__all__ = ["count_unique_cells"]

_OPERATIONS = 3


def count_unique_cells(max_vertices: int = 7) -> int:
    """Number of non-isomorphic cells of 2 to `max_vertices` vertices: 423,624 for seven.

    Input and output are told apart, every vertex lies on a path between them, there are at most 9 edges, and each inner
    vertex carries one of three operations.
    """
    return sum(_count(vertices) for vertices in range(2, max_vertices + 1))


def _count(vertices: int) -> int:
    """Cells with exactly this many vertices.

    Structures are told apart by the smallest bit mask over all renumberings of the inner vertices. The ways to put
    operations on a structure, up to its symmetries, are counted by Burnside's lemma.
    """
    edges = list(itertools.combinations(range(vertices), 2))
    masks = _full_graphs(vertices, edges)
    orders = list(itertools.permutations(range(1, vertices - 1)))
    smallest = masks.copy()
    images = np.empty((len(orders), len(masks)), np.int64)
    for k, order in enumerate(orders):
        renumbered = _renumber(masks, edges, (0, *order, vertices - 1))
        images[k] = renumbered
        np.copyto(smallest, renumbered, where=(renumbered >= 0) & (renumbered < smallest))
    total = 0
    for column in np.flatnonzero(smallest == masks):
        symmetries = [order for order, image in zip(orders, images[:, column], strict=True) if image == masks[column]]
        total += sum(_OPERATIONS ** _cycles(order) for order in symmetries) // len(symmetries)
    return total


def _full_graphs(vertices: int, edges: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Masks of all upper-triangular graphs of at most 9 edges in which no vertex is a dead end."""
    masks = np.arange(1 << len(edges), dtype=np.int64)
    keep = np.bitwise_count(masks) <= MAX_EDGES
    for vertex in range(vertices):
        outgoing = sum(1 << k for k, (i, _) in enumerate(edges) if i == vertex)
        incoming = sum(1 << k for k, (_, j) in enumerate(edges) if j == vertex)
        if vertex < vertices - 1:
            keep &= masks & outgoing != 0
        if vertex > 0:
            keep &= masks & incoming != 0
    return masks[keep]


def _renumber(masks: NDArray[np.int64], edges: list[tuple[int, int]], names: tuple[int, ...]) -> NDArray[np.int64]:
    """The graphs with vertex v called ``names[v]``; -1 where an edge would point backwards."""
    renumbered = np.zeros_like(masks)
    backwards = np.zeros(len(masks), bool)
    for k, (i, j) in enumerate(edges):
        present = (masks >> k) & 1
        if names[i] < names[j]:
            renumbered |= present << edges.index((names[i], names[j]))
        else:
            backwards |= present == 1
    renumbered[backwards] = -1
    return renumbered


def _cycles(order: tuple[int, ...]) -> int:
    """Number of cycles of the permutation v → order[v - 1] of 1 .. n."""
    seen: set[int] = set()
    cycles = 0
    for start in order:
        cycles += start not in seen
        while start not in seen:
            seen.add(start)
            start = order[start - 1]
    return cycles
