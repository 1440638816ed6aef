"""Cells with an operation on every edge of the complete directed graph over four nodes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["EDGES", "EdgeCellSpace", "live_edges"]

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""The order of the six edges in a code: by target node, then by source node."""

_NODES = 4


def live_edges(code: tuple[int, ...]) -> tuple[bool, ...]:
    """Which of the six edges lie on a path of operations other than ``none`` (0) from node 0 to node 3."""
    present = [edge for edge, operation in zip(EDGES, code, strict=True) if operation]
    # Edges are sorted by target, so one sweep forwards and one backwards close both sets.
    reached, useful = {0}, {_NODES - 1}
    for source, target in present:
        if source in reached:
            reached.add(target)
    for source, target in reversed(present):
        if target in useful:
            useful.add(source)
    return tuple(
        bool(operation) and source in reached and target in useful
        for (source, target), operation in zip(EDGES, code, strict=True)
    )


class EdgeCellSpace(CategoricalSpace):
    """Four nodes, six edges, an operation on each edge; node 0 is the input, node 3 the output.

    A node is the sum of the operations on its incoming edges; ``none`` (code 0) contributes nothing. The code is one
    integer per edge in the order of `EDGES`; the elementary edit replaces the operation of one edge.
    """

    skip_is_identity: ClassVar[bool]
    """Whether a skip connection is the identity everywhere (false where cells change resolution)."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The edges, as ``"0→1"`` and so on."""
        return tuple(f"edge {i}→{j}" for i, j in EDGES)

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """(4, 5 + k, k) for k operations."""
        k = len(self.operations)
        return _NODES, _NODES + 1 + k, k

    def canonical(self, architecture: Architecture) -> str:
        """Key of the function that the cell computes.

        The value of a node is the multiset of (operation, value of the source) over its incoming edges. ``none`` edges
        and operations on an empty sum are dropped, skip connections are replaced by the terms of their source where
        they are the identity, and terms are sorted. Dead edges and the swap of nodes 1 and 2 need no extra rule.
        """
        values: list[tuple[Any, ...]] = [("x",), (), (), ()]
        for node in range(1, _NODES):
            terms: list[Any] = []
            for (source, target), operation in zip(EDGES, architecture.code, strict=True):
                if target != node or operation == 0 or not values[source]:
                    continue
                if operation == 1 and self.skip_is_identity:
                    terms.extend(values[source])
                else:
                    terms.append((operation, values[source]))
            values[node] = tuple(sorted(terms, key=repr))
        return _render(values[_NODES - 1])

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """Dense graph of shapes (4, 5 + k), (4, 4), (4, 4, k), (4,) for k operations.

        Node features: which nodes precede it (4), its index divided by 3, the count of each operation on its incoming
        edges (k). Every edge i → j, i < j, is present, also one that carries ``none``; its features are the operation
        one-hot.
        """
        n, f, k = self.graph_shape
        nodes = np.zeros((n, f), np.float32)
        nodes[:, :n] = np.tri(n, n, -1)
        nodes[:, n] = np.arange(n) / (n - 1)
        edges = np.zeros((n, n, k), np.float32)
        for (i, j), operation in zip(EDGES, architecture.code, strict=True):
            nodes[j, n + 1 + operation] += 1
            edges[i, j, operation] = 1
        return GraphEncoding(nodes, np.triu(np.ones((n, n), np.float32), 1), edges, np.ones(n, bool))

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """One node per live edge (neither ``none`` nor dead), between ``input`` and ``output``."""
        code = architecture.code
        on_a_path = zip(EDGES, code, live_edges(code), strict=True)
        live = [(edge, self.operations[operation]) for edge, operation, is_live in on_a_path if is_live]
        last = len(live) + 1
        links = [(0, k) for k, ((i, _), _) in enumerate(live, 1) if i == 0]
        links += [(a, b) for a, ((_, j), _) in enumerate(live, 1) for b, ((i, _), _) in enumerate(live, 1) if i == j]
        links += [(k, last) for k, ((_, j), _) in enumerate(live, 1) if j == _NODES - 1]
        return OperationGraph(("input", *(name for _, name in live), "output"), tuple(sorted(links)))


def _render(value: Any) -> str:
    if value == "x":
        return "x"
    if value and isinstance(value[0], int):
        return f"{value[0]}{_render(value[1])}"
    return "(" + "".join(_render(term) for term in value) + ")"
