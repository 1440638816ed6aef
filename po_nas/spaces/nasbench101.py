"""The NAS-Bench-101 cell space: directed acyclic graphs of up to 7 vertices and 9 edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space
from po_nas.spaces.nasbench101_graph import EDGES, VERTICES, edge_distance, is_valid, live_rows, module_hash

__all__ = ["NASBench101Space"]

_INNER = VERTICES - 2
_INPUT, _OUTPUT = -1, -2
"""Labels of the first and the last vertex, as in the published hash."""


class NASBench101Space(Space):
    """NAS-Bench-101: an operation on each of up to five inner vertices, 423,624 different cells.

    The code is (edges, operations): 21 bits, the upper triangle of the 7 x 7 adjacency matrix row by row, and the
    operations 0 to 2 of the vertices 1 to 5. Vertices that lie on no path from vertex 0 (input) to vertex 6 (output)
    are dead: the cell is what remains without them. A code is valid when something remains and has at most 9 edges;
    373,754,169 codes are (1,538,083 of the 2,097,152 graphs).

    The elementary edit flips one bit or changes one operation such that the result is valid. Strings list the edges of
    the code and the five operations, for example
    ``0-1,1-6|conv3x3-bn-relu,conv1x1-bn-relu,conv1x1-bn-relu,conv1x1-bn-relu,conv1x1-bn-relu``.

    References: Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019,
    arXiv 1902.09635.
    """

    name = "nasbench101"
    size = 373_754_169
    enumerable = False
    operations = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
    reference = "Ying et al., ICML 2019, arXiv 1902.09635"

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """(7, 6, 1): nodes, features of a node, features of an edge."""
        return VERTICES, 3 + len(self.operations), 1

    @property
    def vector_size(self) -> int:
        """36: the 21 bits and five one-hot operations."""
        return len(EDGES) + _INNER * len(self.operations)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw uniformly over the valid codes: fair bits, again until they are valid (73 % are)."""
        bits: list[int] = rng.integers(2, size=len(EDGES)).tolist()
        while not is_valid(_mask(bits)):
            bits = rng.integers(2, size=len(EDGES)).tolist()
        return self._of(bits, rng.integers(len(self.operations), size=_INNER).tolist())

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All valid codes that differ in one bit or one operation."""
        bits, operations = architecture.code
        flipped = [self._of((*bits[:k], 1 - bits[k], *bits[k + 1 :]), operations) for k in range(len(EDGES))]
        near = [other for other in flipped if is_valid(_mask(other.code[0]))]
        near += [
            self._of(bits, (*operations[:v], operation, *operations[v + 1 :]))
            for v in range(_INNER)
            for operation in range(len(self.operations))
            if operation != operations[v]
        ]
        return near

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover of bits and operations, drawn up to 100 times until it is valid, else a parent.

        A child is also drawn again when it is further from a parent than the parents are from each other.
        """
        limit = self.edit_distance(first, second)
        bits, operations = (np.array(parts) for parts in zip(first.code, second.code, strict=True))
        for _ in range(100):
            child = self._of(_mixed(bits, rng), _mixed(operations, rng))
            if is_valid(_mask(child.code[0])) and all(
                self.edit_distance(child, parent) <= limit for parent in (first, second)
            ):
                return child
        return (first, second)[int(rng.integers(2))]

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Smallest number of edits through valid codes.

        Nearly always the Hamming distance; more where every way that only touches differing bits breaks the last path
        or exceeds 9 edges in between.
        """
        changed = sum(bool(a != b) for a, b in zip(first.code[1], second.code[1], strict=True))
        return changed + edge_distance(_mask(first.code[0]), _mask(second.code[0]))

    def canonical(self, architecture: Architecture) -> str:
        """The published hash of the cell without its dead vertices."""
        adjacency, labels = self._pruned(architecture)
        return module_hash(adjacency, labels)

    def from_matrix(self, adjacency: Sequence[Sequence[int]], operations: Sequence[str]) -> Architecture:
        """The architecture of an (n, n) upper-triangular 0/1 matrix, n = 2 to 7, and n operations.

        The first operation is ``"input"``, the last ``"output"``. Vertices that are missing to seven are added dead
        before the output, with the first operation. Raises `InvalidArchitectureError` for anything else.
        """
        n = len(operations)
        value = (adjacency, operations)
        if not 2 <= n <= VERTICES or len(adjacency) != n or any(len(row) != n for row in adjacency):
            raise InvalidArchitectureError(self.name, value, "expected an n x n matrix and n operations, n = 2 to 7")
        if operations[0] != "input" or operations[-1] != "output":
            raise InvalidArchitectureError(self.name, value, "the operations must start with input, end with output")
        unknown = [operation for operation in operations[1:-1] if operation not in self.operations]
        if unknown:
            raise InvalidArchitectureError(
                self.name, value, f"unknown operation {unknown[0]!r}; operations: {', '.join(self.operations)}"
            )
        positions = {v: v if v < n - 1 else VERTICES - 1 for v in range(n)}
        bits = [0] * len(EDGES)
        for i in range(n):
            for j in range(n):
                entry = int(adjacency[i][j])
                if entry not in (0, 1) or (entry and j <= i):
                    raise InvalidArchitectureError(
                        self.name, value, f"entry [{i}][{j}] must be 0, or 1 above the diagonal"
                    )
                if entry:
                    bits[EDGES.index((positions[i], positions[j]))] = 1
        inner = [self.operations.index(operation) for operation in operations[1:-1]]
        architecture = self._of(bits, inner + [0] * (_INNER - len(inner)))
        self.validate(architecture)
        return architecture

    def to_matrix(self, architecture: Architecture) -> tuple[list[list[int]], list[str]]:
        """Adjacency matrix (n, n) and n operations of the cell without its dead vertices, n = 2 to 7."""
        adjacency, labels = self._pruned(architecture)
        return adjacency, ["input", *(self.operations[label] for label in labels[1:-1]), "output"]

    def to_string(self, architecture: Architecture) -> str:
        bits, operations = architecture.code
        edges = ",".join(f"{i}-{j}" for (i, j), bit in zip(EDGES, bits, strict=True) if bit)
        return edges + "|" + ",".join(self.operations[operation] for operation in operations)

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """``edges``, pairs of nodes, and ``operations`` of the inner nodes."""
        bits, operations = architecture.code
        return {
            "edges": [list(edge) for edge, bit in zip(EDGES, bits, strict=True) if bit],
            "operations": [self.operations[operation] for operation in operations],
        }

    def from_string(self, text: str) -> Architecture:
        left, _, right = text.strip().partition("|")
        edges = left.split(",")
        known = [f"{i}-{j}" for i, j in EDGES]
        if len(set(edges)) < len(edges) or not set(edges) <= set(known):
            raise InvalidArchitectureError(self.name, text, "expected distinct edges i-j, 0 <= i < j <= 6, then '|'")
        names = right.split(",")
        if len(names) != _INNER or not set(names) <= set(self.operations):
            raise InvalidArchitectureError(
                self.name, text, f"expected {_INNER} operations joined by ','; known: {', '.join(self.operations)}"
            )
        architecture = self._of([int(edge in edges) for edge in known], [self.operations.index(name) for name in names])
        self.validate(architecture)
        return architecture

    def validate(self, architecture: Architecture) -> None:
        code: Any = architecture.code
        self._check_name(architecture)
        if not (
            isinstance(code, tuple)
            and len(code) == 2
            and _is_vector(code[0], len(EDGES), 2)
            and _is_vector(code[1], _INNER, len(self.operations))
        ):
            raise InvalidArchitectureError(self.name, code, "expected 21 bits and 5 integers 0 to 2")
        if not is_valid(_mask(code[0])):
            raise InvalidArchitectureError(
                self.name, code, "there must be a path from vertex 0 to vertex 6 and at most 9 edges on such paths"
            )

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """The cell without dead vertices, in shapes (7, 6), (7, 7), (7, 7, 1), (7,); the output is the last live one.

        Node features: is the input, is the output, the number of the vertex divided by 6, the one-hot operation (3).
        The one edge feature is 1. Live vertices come first, the rest is padding.
        """
        n, f, e = self.graph_shape
        pruned, labels = self._pruned(architecture)
        live = len(labels)
        nodes = np.zeros((n, f), np.float32)
        nodes[0, 0] = nodes[live - 1, 1] = 1
        nodes[:live, 2] = np.arange(live) / (n - 1)
        for v, label in enumerate(labels[1:-1], 1):
            nodes[v, 3 + label] = 1
        adjacency = np.zeros((n, n), np.float32)
        adjacency[:live, :live] = pruned
        return GraphEncoding(nodes, adjacency, adjacency.reshape(n, n, e).copy(), np.arange(n) < live)

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        """The 21 bits and the one-hot operations of the code, dead ones included, shape (36,)."""
        bits, operations = architecture.code
        vector = np.zeros(self.vector_size)
        vector[: len(EDGES)] = bits
        for v, operation in enumerate(operations):
            vector[len(EDGES) + v * len(self.operations) + operation] = 1
        return vector

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """The cell without its dead vertices."""
        adjacency, labels = self.to_matrix(architecture)
        edges = ((i, j) for i, row in enumerate(adjacency) for j, entry in enumerate(row) if entry)
        return OperationGraph(tuple(labels), tuple(edges))

    def _of(self, bits: Sequence[int], operations: Sequence[int]) -> Architecture:
        return Architecture(self.name, (tuple(bits), tuple(operations)))

    def _pruned(self, architecture: Architecture) -> tuple[list[list[int]], list[int]]:
        """Adjacency matrix and labels of the live vertices."""
        bits, operations = architecture.code
        rows = live_rows(_mask(bits))
        if rows is None:
            raise InvalidArchitectureError(self.name, architecture.code, "no path leads from vertex 0 to vertex 6")
        live = [v for v, row in enumerate(rows) if row]
        labels = [_INPUT, *(operations[v - 1] for v in live[1:]), _OUTPUT]
        live.append(VERTICES - 1)
        return [[rows[i] >> j & 1 for j in live] for i in live[:-1]] + [[0] * len(live)], labels


def _mask(bits: Sequence[int]) -> int:
    mask = 0
    for k, bit in enumerate(bits):
        mask |= bit << k
    return mask


def _mixed(parents: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """Each entry from row 0 or row 1 with probability one half."""
    return [int(v) for v in np.where(rng.random(parents.shape[1]) < 0.5, parents[0], parents[1])]


def _is_vector(values: Any, length: int, cardinality: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == length
        and all(type(value) is int and 0 <= value < cardinality for value in values)
    )
