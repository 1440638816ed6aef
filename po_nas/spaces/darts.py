"""The DARTS space: a normal and a reduction cell."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from math import comb
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space

__all__ = ["DARTSSpace", "Node", "format_genotype", "node_distance", "node_neighbours", "parse_genotype"]

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


Pairs = Sequence[tuple[str, int]]

_CONCAT = (2, 3, 4, 5)


def format_genotype(normal: Pairs, reduce: Pairs) -> str:
    """``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[2, 3, 4, 5], reduce=[…], reduce_concat=…)``."""
    concat = list(_CONCAT)
    return f"Genotype(normal={list(normal)}, normal_concat={concat}, reduce={list(reduce)}, reduce_concat={concat})"


def parse_genotype(text: str) -> tuple[Pairs, Pairs]:
    """The (operation, input) pairs of both cells; nothing in the text is executed.

    ``*_concat`` may be left out or written ``range(2, 6)``. Raises `ValueError` with the reason.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be parsed ({type(error).__name__})") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Genotype" or call.args:
        raise ValueError("expected Genotype(normal=[…], normal_concat=[…], reduce=[…], reduce_concat=[…])")
    values: Mapping[str | None, ast.expr] = {keyword.arg: keyword.value for keyword in call.keywords}
    unknown = values.keys() - {"normal", "normal_concat", "reduce", "reduce_concat"}
    if unknown:
        raise ValueError(f"unknown keyword {min(map(str, unknown))!r}")
    for name in ("normal_concat", "reduce_concat"):
        if name in values and _concat(values[name]) != _CONCAT:
            raise ValueError(f"{name} must be [2, 3, 4, 5]")
    cells = []
    for name in ("normal", "reduce"):
        if name not in values:
            raise ValueError(f"{name} is missing")
        cells.append(_pairs(name, values[name]))
    return cells[0], cells[1]


def _pairs(name: str, expression: ast.expr) -> Pairs:
    try:
        pairs = ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{name} is no literal list") from error
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int
        for pair in pairs
    ):
        raise ValueError(f"{name} must be a list of (operation, input) pairs")
    return [(operation, source) for operation, source in pairs]


def _concat(expression: ast.expr) -> tuple[object, ...] | None:
    try:
        if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and expression.func.id == "range":
            return tuple(range(*map(ast.literal_eval, expression.args))[: len(_CONCAT) + 1])
        value = ast.literal_eval(expression)
        return tuple(value) if isinstance(value, list | tuple) else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


_Cell = tuple[Node, ...]

_NODES = 4
_INPUTS = 2
_CELL_NODES = _INPUTS + _NODES
_SLOTS = sum(_INPUTS + k for k in range(_NODES))
_CELLS = ("normal", "reduction")


class DARTSSpace(Space):
    """DARTS: two cells of four intermediate nodes, two inputs to each node, seven operations.

    The code is (normal, reduction); a cell is four nodes, a node is ``((input, operation), (input, operation))`` sorted
    by input. Inputs 0 and 1 are the cells before the previous and the previous cell, 2 to 5 the intermediate nodes;
    node k (0 to 3) has two different ones of the inputs 0 to k + 1. The intermediate nodes are concatenated.
    There are about 1.08e18 codes.

    The elementary edit changes the operation of a pair, moves a pair to an input that its node does not use, or swaps
    the two operations of a node: 128 neighbours, less one for each node with equal operations.

    Strings are genotypes as the field prints them:
    ``Genotype(normal=[('sep_conv_3x3', 0), …], normal_concat=[2, 3, 4, 5], reduce=[…], reduce_concat=[2, 3, 4, 5])``.

    References: Liu, Simonyan and Yang, DARTS: Differentiable Architecture Search, ICLR 2019, arXiv 1806.09055.
    """

    name = "darts"
    enumerable = False
    operations = (
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )
    reference = "Liu, Simonyan and Yang, ICLR 2019, arXiv 1806.09055"

    def __init__(self) -> None:
        wirings = [comb(_INPUTS + k, 2) for k in range(_NODES)]
        self.size = int(np.prod(wirings) * len(self.operations) ** (2 * _NODES)) ** 2

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """(12, 17, 7): nodes, features of a node, features of an edge."""
        k = len(self.operations)
        return 2 * _CELL_NODES, 3 + _CELL_NODES + 1 + k, k

    @property
    def vector_size(self) -> int:
        """196: for each of the 2 x 14 possible edges the one-hot operation, zero where the edge is not used."""
        return 2 * _SLOTS * len(self.operations)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw uniformly over the codes: every pair of inputs and every operation is equally likely."""
        cells = []
        for _ in range(2):
            operations = rng.integers(len(self.operations), size=(_NODES, 2)).tolist()
            cell = []
            for k, (a, b) in enumerate(operations):
                choices = _input_pairs(k)
                first, second = choices[int(rng.integers(len(choices)))]
                cell.append(((first, a), (second, b)))
            cells.append(tuple(cell))
        return Architecture(self.name, tuple(cells))

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All codes one edit away: by cell, by node, then by edit."""
        near = []
        for c, cell in enumerate(architecture.code):
            for k, node in enumerate(cell):
                for changed in node_neighbours(node, _INPUTS + k, len(self.operations)):
                    cells = list(architecture.code)
                    cells[c] = (*cell[:k], changed, *cell[k + 1 :])
                    near.append(Architecture(self.name, tuple(cells)))
        return near

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """Take each of the eight nodes, with both its pairs, from either parent with probability one half."""
        take = rng.random((2, _NODES)) < 0.5
        cells = tuple(
            tuple(a if t else b for a, b, t in zip(*nodes, strict=True))
            for nodes in zip(first.code, second.code, take.tolist(), strict=True)
        )
        return Architecture(self.name, cells)

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Smallest number of edits: nodes are independent, so the sum over the eight nodes."""
        return sum(
            node_distance(a, b)
            for cells in zip(first.code, second.code, strict=True)
            for a, b in zip(*cells, strict=True)
        )

    def canonical(self, architecture: Architecture) -> str:
        """Each cell as its smallest form over all orders of the intermediate nodes that keep inputs before users."""
        return "|".join(_render(min(_relabelings(cell))) for cell in architecture.code)

    def from_naslib(self, normal: Sequence[Sequence[int]], reduce: Sequence[Sequence[int]]) -> Architecture:
        """The architecture of NASLib's form: for each cell eight (input, operation) pairs, two for each node.

        The pairs of a node may come in either order; operations are numbered as in `operations`.
        """
        value = (normal, reduce)
        pairs = [[tuple(int(v) for v in pair) for pair in cell] for cell in value]
        if any(len(cell) != 2 * _NODES or any(len(pair) != 2 for pair in cell) for cell in pairs):
            raise InvalidArchitectureError(self.name, value, "expected eight (input, operation) pairs for each cell")
        cells = (tuple(cast(Node, tuple(sorted(cell[k : k + 2]))) for k in range(0, 2 * _NODES, 2)) for cell in pairs)
        architecture = Architecture(self.name, tuple(cells))
        self.validate(architecture)
        return architecture

    def to_string(self, architecture: Architecture) -> str:
        """The genotype's text, pairs sorted by input."""
        cells: list[Pairs] = [
            [(self.operations[operation], source) for node in cell for source, operation in node]
            for cell in architecture.code
        ]
        return format_genotype(*cells)

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """Both cells, ``normal`` and ``reduce``: for each node in turn its two pairs of operation and input."""
        normal, reduce = (
            [[self.operations[operation], source] for node in cell for source, operation in node]
            for cell in architecture.code
        )
        return {"normal": normal, "reduce": reduce}

    def from_string(self, text: str) -> Architecture:
        """Parse a genotype's text; the pairs of a node may come in either order. Nothing is executed."""
        try:
            cells = parse_genotype(text)
        except ValueError as error:
            raise InvalidArchitectureError(self.name, text, str(error)) from error
        for operation, _ in itertools.chain(*cells):
            if operation not in self.operations:
                raise InvalidArchitectureError(
                    self.name, text, f"unknown operation {operation!r}; operations: {', '.join(self.operations)}"
                )
        normal, reduce = ([(source, self.operations.index(name)) for name, source in cell] for cell in cells)
        return self.from_naslib(normal, reduce)

    def validate(self, architecture: Architecture) -> None:
        code: Any = architecture.code
        self._check_name(architecture)
        if not (_is_tuple(code, 2) and all(_is_tuple(cell, _NODES) for cell in code)):
            raise InvalidArchitectureError(self.name, code, "expected two cells of four nodes")
        for cell, name in zip(code, _CELLS, strict=True):
            for k, node in enumerate(cell):
                if not (_is_tuple(node, 2) and all(_is_tuple(p, 2) and all(type(v) is int for v in p) for p in node)):
                    raise InvalidArchitectureError(self.name, code, f"{name} node {k} must be two pairs of integers")
                (first, a), (second, b) = node
                if not 0 <= first < second < _INPUTS + k:
                    raise InvalidArchitectureError(
                        self.name, code, f"{name} node {k} needs two different inputs 0 to {_INPUTS + k - 1}, sorted"
                    )
                if not all(0 <= operation < len(self.operations) for operation in (a, b)):
                    raise InvalidArchitectureError(
                        self.name, code, f"{name} node {k}: operations are 0 to {len(self.operations) - 1}"
                    )

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """Both cells as one block-diagonal graph of shapes (12, 17), (12, 12), (12, 12, 7), (12,).

        Nodes 0 to 5 are the normal cell (two inputs, four intermediate nodes), 6 to 11 the reduction cell. Node
        features: belongs to the reduction cell, is input 0, is input 1, which nodes of its cell precede it (6; zero for
        inputs), its number among the intermediate nodes divided by 3, the count of each operation on its incoming edges
        (7). Edge features: the operation one-hot.
        """
        n, f, e = self.graph_shape
        nodes = np.zeros((n, f), np.float32)
        adjacency = np.zeros((n, n), np.float32)
        edges = np.zeros((n, n, e), np.float32)
        for c, cell in enumerate(architecture.code):
            start = c * _CELL_NODES
            nodes[start : start + _CELL_NODES, 0] = c
            nodes[start, 1] = nodes[start + 1, 2] = 1
            for k, node in enumerate(cell):
                target = start + _INPUTS + k
                nodes[target, 3 : 3 + _INPUTS + k] = 1
                nodes[target, 3 + _CELL_NODES] = k / (_NODES - 1)
                for source, operation in node:
                    nodes[target, 4 + _CELL_NODES + operation] += 1
                    adjacency[start + source, target] = 1
                    edges[start + source, target, operation] = 1
        return GraphEncoding(nodes, adjacency, edges, np.ones(n, bool))

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        """Vector of shape (196,): cells, nodes, inputs, operations, from the slowest to the fastest index."""
        vector = np.zeros((2, _SLOTS, len(self.operations)))
        for c, cell in enumerate(architecture.code):
            first = 0
            for k, node in enumerate(cell):
                for source, operation in node:
                    vector[c, first + source, operation] = 1
                first += _INPUTS + k
        return vector.reshape(-1)

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        """Both cells side by side between shared inputs and output: 16 operations, labelled ``cell.operation``.

        Node 0, ``input``, is the cell before the previous one, node 1, ``input_1``, the previous cell. Each operation
        is a node; what an intermediate node sums up feeds the operations that take it as input, and the output.
        """
        labels = ["input", "input_1"]
        edges = []
        for name, cell in zip(_CELLS, architecture.code, strict=True):
            made: list[list[int]] = [[0], [1]]  # the operations whose sum is each node of the cell
            for node in cell:
                made.append([])
                for source, operation in node:
                    edges += [(producer, len(labels)) for producer in made[source]]
                    made[-1].append(len(labels))
                    labels.append(f"{name}.{self.operations[operation]}")
        labels.append("output")
        edges += [(k, len(labels) - 1) for k in range(_INPUTS, len(labels) - 1)]
        return OperationGraph(tuple(labels), tuple(sorted(edges)))


@cache
def _input_pairs(node: int) -> tuple[tuple[int, int], ...]:
    return tuple(itertools.combinations(range(_INPUTS + node), 2))


def _relabelings(cell: _Cell) -> list[_Cell]:
    """The cell under all orders of its intermediate nodes in which a node follows its inputs."""
    forms = []
    for order in itertools.permutations(range(_NODES)):
        new = (0, 1, *(_INPUTS + order.index(k) for k in range(_NODES)))
        nodes = [cast(Node, tuple(sorted((new[source], operation) for source, operation in cell[k]))) for k in order]
        if all(node[1][0] < _INPUTS + k for k, node in enumerate(nodes)):
            forms.append(tuple(nodes))
    return forms


def _render(cell: _Cell) -> str:
    return ",".join("".join(f"{source}{operation}" for source, operation in node) for node in cell)


def _is_tuple(value: Any, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length
