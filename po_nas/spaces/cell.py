"""Cells with an operation on every edge of a graph over four nodes: NAS-Bench-201 and TransNAS-Bench-101 micro."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["EDGES", "EdgeCellSpace", "NASBench201Space", "TransNASMicroSpace", "live_edges"]

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


class NASBench201Space(EdgeCellSpace):
    """NAS-Bench-201: six edges, five operations, 15,625 cells.

    Strings are those of the benchmark's API, for example
    ``|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|``.

    `canonical` merges cells that compute the same function: 4,930 classes. The rule printed with the benchmark gives
    6,466, because it leaves some zero terms in its strings; it separates cells that are the same network.

    References: Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search,
    ICLR 2020, arXiv 2001.00326.
    """

    name = "nasbench201"
    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    cardinalities = (5,) * 6
    skip_is_identity = True
    reference = "Dong and Yang, ICLR 2020, arXiv 2001.00326"

    def to_string(self, architecture: Architecture) -> str:
        parts: dict[int, str] = {}
        for (source, target), operation in zip(EDGES, architecture.code, strict=True):
            parts[target] = parts.get(target, "|") + f"{self.operations[operation]}~{source}|"
        return "+".join(parts[target] for target in sorted(parts))

    def from_string(self, text: str) -> Architecture:
        code = []
        nodes = text.strip().split("+")
        if len(nodes) != 3:
            raise InvalidArchitectureError(self.name, text, "expected three nodes joined by '+'")
        for target, node in enumerate(nodes, 1):
            edges = node.strip("|").split("|")
            if len(edges) != target:
                raise InvalidArchitectureError(self.name, text, f"node {target} must have {target} edges")
            for source, edge in enumerate(edges):
                operation, _, tail = edge.partition("~")
                if operation not in self.operations or tail != str(source):
                    raise InvalidArchitectureError(
                        self.name, text, f"{edge!r} is no operation~{source}; operations: {', '.join(self.operations)}"
                    )
                code.append(self.operations.index(operation))
        return Architecture(self.name, tuple(code))


_STRING = re.compile(r"64-41414-([0-3])_([0-3])([0-3])_([0-3])([0-3])([0-3])", re.ASCII)


class TransNASMicroSpace(EdgeCellSpace):
    """TransNAS-Bench-101 micro: six edges, four operations, 4,096 cells in a fixed macro skeleton.

    Strings are those of the benchmark's API, for example ``64-41414-1_02_333``: the skeleton (64 base channels and the
    module types 4, 1, 4, 1, 4), then the edges into nodes 1, 2 and 3, each group by source node.

    The cell is also used where the skeleton halves the resolution; there a skip connection is a strided projection and
    no identity. `canonical` therefore keeps skips as operations, removes dead edges and merges the swap of nodes 1 and
    2: 1,948 classes. All 169 cells without a path from input to output are one class.

    References: Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task Neural
    Architecture Search, CVPR 2021, arXiv 2105.11871.
    """

    name = "transnas_micro"
    operations = ("none", "skip", "conv1x1", "conv3x3")
    cardinalities = (4,) * 6
    skip_is_identity = False
    reference = "Duan et al., CVPR 2021, arXiv 2105.11871"

    def to_string(self, architecture: Architecture) -> str:
        digits = "".join(map(str, architecture.code))
        return f"64-41414-{digits[0]}_{digits[1:3]}_{digits[3:]}"

    def from_string(self, text: str) -> Architecture:
        match = _STRING.fullmatch(text.strip())
        if match is None:
            raise InvalidArchitectureError(self.name, text, "expected 64-41414-a_bc_def, each letter a digit 0 to 3")
        return Architecture(self.name, tuple(int(digit) for digit in match.groups()))
