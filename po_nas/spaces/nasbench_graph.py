"""The space of NAS-Bench-Graph: graph neural networks of four layers in nine wirings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["WIRINGS", "NASBenchGraphProteinsSpace", "NASBenchGraphSpace"]

WIRINGS = (
    (0, 0, 0, 0),
    (0, 0, 0, 1),
    (0, 0, 1, 1),
    (0, 0, 1, 2),
    (0, 0, 1, 3),
    (0, 1, 1, 1),
    (0, 1, 1, 2),
    (0, 1, 2, 2),
    (0, 1, 2, 3),
)
"""The parent of each of the layers 1 to 4; 0 is the input. Layers without children are concatenated to the output."""

_LAYERS = 4
_PUBLISHED = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")

_Tree = tuple[Any, ...]
"""Sorted subtrees (operation, subtrees below)."""


class NASBenchGraphSpace(CategoricalSpace):
    """NAS-Bench-Graph: one of nine wirings and an operation for each of four layers.

    The code is (wiring, operation of layer 1, …, 4). Of the 59,049 combinations the nine in which every layer is a skip
    connection compute nothing and do not belong to the space, as in the benchmark: 59,040 remain, in 26,206 classes.
    Leaving them out lengthens no shortest path, so the edit distance is still the Hamming distance.

    Strings: the parents of the four layers, then their operations, for example ``0-0-1-2|gcn-gat-skip-fc``.

    `canonical` is the tree of layers below the input after these rules: the order of siblings does not matter; a skip
    connection with layers below it is the identity, and so is one that is the only layer below its parent; a skip
    connection straight from the input to the output is dropped, for the output never contains raw features unless
    nothing else is left. Each of the 26,206 published records is one class.

    References: Qin et al., NAS-Bench-Graph: Benchmarking Graph Neural Architecture Search, NeurIPS 2022,
    arXiv 2206.09166.
    """

    name = "nasbench_graph"
    operations: tuple[str, ...] = _PUBLISHED
    cardinalities: ClassVar[tuple[int, ...]] = (9, 9, 9, 9, 9)
    reference = "Qin et al., NeurIPS 2022, arXiv 2206.09166"

    def __init__(self) -> None:
        super().__init__()
        self.size -= len(WIRINGS)
        self._skip = self.operations.index("skip")
        self._digits = tuple(_PUBLISHED.index(operation) for operation in self.operations)

    @property
    def variables(self) -> tuple[str, ...]:
        return ("wiring", *(f"layer {k}" for k in range(1, _LAYERS + 1)))

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """(6, 3 + k, 1) for k operations."""
        return _LAYERS + 2, 3 + len(self.operations), 1

    def sample(self, rng: np.random.Generator) -> Architecture:
        return self.at(int(rng.integers(self.size)))

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All codes that differ in exactly one variable."""
        return [near for near in super().neighbours(architecture) if not self._is_empty(near)]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Uniform crossover, drawn again when nothing but skip connections is left."""
        while self._is_empty(child := super().crossover(first, second, rng)):
            pass
        return child

    def validate(self, architecture: Architecture) -> None:
        super().validate(architecture)
        if self._is_empty(architecture):
            raise InvalidArchitectureError(self.name, architecture.code, "all four layers are skip connections")

    def enumerate(self) -> Iterator[Architecture]:
        """All codes in lexicographic order."""
        return (architecture for architecture in super().enumerate() if not self._is_empty(architecture))

    def index(self, architecture: Architecture) -> int:
        # skip is the last operation: each wiring's block of codes just lacks its last one
        return super().index(architecture) - int(architecture.code[0])

    def at(self, position: int) -> Architecture:
        return super().at(position + position // (len(self.operations) ** _LAYERS - 1))

    def canonical(self, architecture: Architecture) -> str:
        """Key of the tree of layers, for example ``gcn(gat,skip),sage``."""
        return self._render(self._simplify(self._below(architecture.code, 0), of_input=True))

    def hash_key(self, architecture: Architecture) -> int:
        """The published integer of this very code: the decimal digits wiring, operations of layers 1 to 4.

        Operations count in the order of `NASBenchGraphSpace.operations` in both spaces. The table holds one key of
        each class; find it by `canonical`.
        """
        wiring, *layers = architecture.code
        key = int(wiring)
        for operation in layers:
            key = 10 * key + self._digits[operation]
        return key

    def from_hash(self, key: int) -> Architecture:
        """The architecture of a published integer; `InvalidArchitectureError` when it is none of this space."""
        key = int(key)
        digits = [key // 10**place % 10 for place in range(_LAYERS, -1, -1)]
        if not 0 <= key < 10 ** (_LAYERS + 1) or any(digit not in self._digits for digit in digits[1:]):
            raise InvalidArchitectureError(self.name, key, "expected five decimal digits: wiring and four operations")
        architecture = Architecture(self.name, (digits[0], *(self._digits.index(digit) for digit in digits[1:])))
        self.validate(architecture)
        return architecture

    def to_string(self, architecture: Architecture) -> str:
        """Parents and operations, for example ``0-0-1-2|gcn-gat-skip-fc``."""
        wiring, *layers = architecture.code
        return "-".join(map(str, WIRINGS[wiring])) + "|" + "-".join(self.operations[layer] for layer in layers)

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """``parents`` of the four layers, and their ``operations``."""
        wiring, *layers = architecture.code
        return {"parents": list(WIRINGS[wiring]), "operations": [self.operations[layer] for layer in layers]}

    def from_string(self, text: str) -> Architecture:
        parents, _, layers = text.strip().partition("|")
        wirings = {"-".join(map(str, wiring)): k for k, wiring in enumerate(WIRINGS)}
        names = layers.split("-")
        if parents not in wirings:
            raise InvalidArchitectureError(self.name, text, f"{parents!r} is no wiring; known: {', '.join(wirings)}")
        if len(names) != _LAYERS or any(name not in self.operations for name in names):
            raise InvalidArchitectureError(
                self.name, text, f"expected {_LAYERS} operations joined by '-'; known: {', '.join(self.operations)}"
            )
        architecture = Architecture(self.name, (wirings[parents], *map(self.operations.index, names)))
        self.validate(architecture)
        return architecture

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """Shapes (6, 3 + k), (6, 6), (6, 6, 1), (6,) for k operations: input, four layers, output.

        Node features: is the input, is the output, depth below the input divided by 5 (the output is one deeper than
        the deepest layer), the one-hot operation (k). The one edge feature is 1.
        """
        n, f, e = self.graph_shape
        nodes = np.zeros((n, f), np.float32)
        nodes[0, 0] = nodes[-1, 1] = 1
        depth = [0]
        for k, (parent, operation) in enumerate(
            zip(WIRINGS[architecture.code[0]], architecture.code[1:], strict=True), 1
        ):
            depth.append(depth[parent] + 1)
            nodes[k, 3 + operation] = 1
        nodes[:, 2] = np.array([*depth, max(depth) + 1]) / (n - 1)
        adjacency = np.zeros((n, n), np.float32)
        for i, j in self._links(architecture):
            adjacency[i, j] = 1
        return GraphEncoding(nodes, adjacency, adjacency.reshape(n, n, e).copy(), np.ones(n, bool))

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """The four layers as they are in the code, between ``input`` and ``output``."""
        labels = ("input", *(self.operations[operation] for operation in architecture.code[1:]), "output")
        return OperationGraph(labels, self._links(architecture))

    def _links(self, architecture: Architecture) -> tuple[tuple[int, int], ...]:
        parents = WIRINGS[architecture.code[0]]
        leaves = [k for k in range(1, _LAYERS + 1) if k not in parents]
        return tuple(sorted([(p, k) for k, p in enumerate(parents, 1)] + [(k, _LAYERS + 1) for k in leaves]))

    def _is_empty(self, architecture: Architecture) -> bool:
        return all(operation == self._skip for operation in architecture.code[1:])

    def _below(self, code: tuple[int, ...], node: int) -> _Tree:
        """The subtrees below a node, with skip connections that have layers below them contracted."""
        subtrees: list[Any] = []
        for k, parent in enumerate(WIRINGS[code[0]], 1):
            if parent == node:
                below = self._below(code, k)
                subtrees.extend(below if code[k] == self._skip and below else [(code[k], below)])
        return tuple(subtrees)

    def _simplify(self, subtrees: _Tree, of_input: bool = False) -> _Tree:
        """Drop skip connections that end there, where they are alone or carry raw input; sort siblings."""
        if of_input or len(subtrees) == 1:
            subtrees = tuple(subtree for subtree in subtrees if subtree != (self._skip, ()))
        return tuple(sorted((operation, self._simplify(below)) for operation, below in subtrees))

    def _render(self, subtrees: _Tree) -> str:
        return ",".join(
            self.operations[operation] + (f"({self._render(below)})" if below else "") for operation, below in subtrees
        )


class NASBenchGraphProteinsSpace(NASBenchGraphSpace):
    """The part of NAS-Bench-Graph that was trained on ogbn-proteins: five operations, 5,616 codes, 2,021 classes.

    Published integers use the operation numbers of the whole space.
    """

    name = "nasbench_graph_proteins"
    operations = ("gcn", "sage", "arma", "fc", "skip")
    cardinalities = (9, 5, 5, 5, 5)
