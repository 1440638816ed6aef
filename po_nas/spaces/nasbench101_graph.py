"""Graphs over the seven vertices of NAS-Bench-101 as 21-bit integers."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["EDGES", "MAX_EDGES", "VERTICES", "edge_distance", "is_valid", "live_rows", "module_hash"]

VERTICES = 7
MAX_EDGES = 9

EDGES = tuple(itertools.combinations(range(VERTICES), 2))
"""The 21 possible edges i → j, row by row; bit k of an integer stands for ``EDGES[k]``."""

_OUTPUT = VERTICES - 1
_FIRST_BIT = tuple(EDGES.index((i, i + 1)) for i in range(_OUTPUT))


def live_rows(edges: int) -> list[int] | None:
    """The graph without the vertices that lie on no path from input to output, or None when there is no path.

    Entry i is the set of targets of vertex i as a bit mask, zero for vertices that were removed.
    """
    rows = [(edges >> first & (1 << _OUTPUT - i) - 1) << i + 1 for i, first in enumerate(_FIRST_BIT)]
    reached = 1
    for i, row in enumerate(rows):
        if reached >> i & 1:
            reached |= row
    if not reached >> _OUTPUT & 1:
        return None
    useful = 1 << _OUTPUT
    for i in range(_OUTPUT - 1, -1, -1):
        if rows[i] & useful:
            useful |= 1 << i
    live = reached & useful
    return [row & live if live >> i & 1 else 0 for i, row in enumerate(rows)]


@lru_cache(maxsize=1 << 16)
def is_valid(edges: int) -> bool:
    """Whether there is a path from input to output and at most 9 edges lie on such paths."""
    rows = live_rows(edges)
    return rows is not None and sum(row.bit_count() for row in rows) <= MAX_EDGES


def edge_distance(first: int, second: int) -> int:
    """Smallest number of single-edge flips from one valid graph to another through valid graphs.

    This is the Hamming distance wherever the common edges contain a path (remove, then add) or the union is valid
    (add, then remove); otherwise a shortest way is searched for, which may be two or more flips longer.
    """
    hamming = (first ^ second).bit_count()
    if hamming <= 1 or live_rows(first & second) is not None or is_valid(first | second):
        return hamming
    known = {first: 0}
    queue = [(hamming, 0, first)]
    while True:  # A* search: the Hamming distance never overestimates what remains
        _, behind, edges = heapq.heappop(queue)
        if edges == second:
            return -behind
        done = 1 - behind
        for k in range(len(EDGES)):
            near = edges ^ 1 << k
            if done < known.get(near, done + 1) and is_valid(near):
                known[near] = done
                # among equal bounds the path that has come furthest goes first
                heapq.heappush(queue, (done + (near ^ second).bit_count(), -done, near))


def module_hash(adjacency: Sequence[Sequence[int]], labels: Sequence[int]) -> str:
    """Hash a labelled directed graph such that the order of its vertices does not matter.

    `adjacency` is the (n, n) 0/1 matrix of a pruned graph; `labels` holds one integer per vertex: -1 for the input, -2
    for the output, the operation's number otherwise. A vertex starts with the digest of its out-degree, in-degree and
    label; n times it takes the digest of the sorted digests of its predecessors, those of its successors, and its own.
    The digest of the sorted list is the published name of the module (32 hexadecimal digits).

    References: Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019,
    arXiv 1902.09635.
    """
    vertices = range(len(labels))
    targets = [[j for j in vertices if adjacency[i][j]] for i in vertices]
    sources = [[i for i in vertices if adjacency[i][j]] for j in vertices]
    digests = [_md5(str((len(targets[v]), len(sources[v]), int(labels[v])))) for v in vertices]
    for _ in vertices:
        digests = [
            _md5("|".join((_joined(digests, sources[v]), _joined(digests, targets[v]), digests[v]))) for v in vertices
        ]
    return _md5(str(sorted(digests)))


def _joined(digests: Sequence[str], chosen: Sequence[int]) -> str:
    return "".join(sorted([digests[v] for v in chosen]))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
