"""One intermediate node of a DARTS cell: two distinct inputs, each with an operation.

A node state is ``((input, operation), (input, operation))`` sorted by input. Elementary edits change an operation, move
a pair to an input that is not in use, or swap the two operations.
"""

from __future__ import annotations

__all__ = ["Node", "node_distance", "node_neighbours"]

Pair = tuple[int, int]
Node = tuple[Pair, Pair]


def node_neighbours(node: Node, inputs: int, operations: int) -> list[Node]:
    """All states one edit away, for a node with `inputs` possible inputs and `operations` operations."""
    near = []
    for (source, operation), other in (node, node[::-1]):
        near += [_sorted((source, value), other) for value in range(operations) if value != operation]
        used = (source, other[0])
        near += [_sorted((place, operation), other) for place in range(inputs) if place not in used]
    (first, a), (second, b) = node
    if a != b:
        near.append(((first, b), (second, a)))
    return near


def node_distance(start: Node, end: Node) -> int:
    """Smallest number of edits from one state to another.

    The better of the two ways to match the pairs: one edit for each input and each operation that differs. Where the
    inputs are the same and both pairs would have to trade places, one swap does it.
    """
    straight = _changes(start[0], end[0]) + _changes(start[1], end[1])
    crossed = _changes(start[0], end[1]) + _changes(start[1], end[0])
    if (start[0][0], start[1][0]) == (end[0][0], end[1][0]):
        crossed -= 1
    return min(straight, crossed)


def _changes(start: Pair, end: Pair) -> int:
    return (start[0] != end[0]) + (start[1] != end[1])


def _sorted(first: Pair, second: Pair) -> Node:
    return (first, second) if first < second else (second, first)
