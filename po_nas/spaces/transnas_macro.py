"""The network-level space of TransNAS-Bench-101: 3,256 sequences of modules."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space

__all__ = ["TransNASMacroSpace"]

_Modules = tuple[int, ...]

_LENGTHS = range(4, 7)
_TYPES = (1, 2, 3, 4)
_DOUBLING = (2, 4)
_DOWNSAMPLING = (3, 4)
_STRING = re.compile(r"64-([1-4]{4,6})-basic", re.ASCII)


class TransNASMacroSpace(Space):
    """TransNAS-Bench-101 macro: 4 to 6 modules of four types, 3,256 networks.

    Type 1 changes nothing, 2 doubles the channels, 3 halves the resolution, 4 does both. A network is valid with one
    to three doublings and one to four halvings; exactly the 3,256 networks of the published table satisfy this. Which
    type does what shows in the table's costs (jigsaw task): ``64-1124-basic`` has 5.25 M parameters and 353 MFLOPs,
    ``64-1134-basic`` 2.15 M and 101 MFLOPs.

    The code is the sequence of module types, 1 to 4. The elementary edit replaces, inserts or deletes one module such
    that the result is valid. Strings are those of the benchmark's API, for example ``64-4111-basic``.

    References: Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task Neural
    Architecture Search, CVPR 2021, arXiv 2105.11871.
    """

    name = "transnas_macro"
    size = 3256
    operations = ("plain", "double_channels", "downsample", "double_channels_downsample")
    reference = "Duan et al., CVPR 2021, arXiv 2105.11871"

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """(7, 6, 3): nodes, features of a node, features of an edge."""
        return 7, 6, 3

    @property
    def vector_size(self) -> int:
        """24: six positions with a one-hot of the four types; positions behind the last module are zero."""
        return 24

    def sample(self, rng: np.random.Generator) -> Architecture:
        return self._of(_all_valid()[int(rng.integers(self.size))])

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """All valid sequences at Levenshtein distance 1, sorted."""
        return [self._of(code) for code in _neighbours(architecture.code)]

    def crossover(self, first: Architecture, second: Architecture, rng: np.random.Generator) -> Architecture:
        """One-point crossover at a point where the parents are aligned: the head of one, the tail of the other.

        Cut points lie on the best alignments of the two sequences and may differ between the parents. Uniform over the
        valid children that are no further from a parent than the parents are from each other; a parent when the cuts
        yield nothing else.
        """
        limit = self.edit_distance(first, second)
        children = set()
        for a, b in ((first.code, second.code), (second.code, first.code)):
            before, after = _levenshtein_tables(a, b)
            for i, j in itertools.product(range(len(a) + 1), range(len(b) + 1)):
                if before[i][j] + after[i][j] == before[-1][-1] and _is_valid(a[:i] + b[j:]):
                    children.add(a[:i] + b[j:])
        children -= {first.code, second.code}
        # an alignment bounds the Levenshtein distance; the way through valid sequences may still be longer
        within = [
            code
            for code in sorted(children)
            if all(_distances_from(parent.code)[_row(code)] <= limit for parent in (first, second))
        ]
        choices = within or [first.code, second.code]
        return self._of(choices[int(rng.integers(len(choices)))])

    def edit_distance(self, first: Architecture, second: Architecture) -> int:
        """Smallest number of edits through valid networks.

        It exceeds the Levenshtein distance by one or two for 0.08 % of the pairs, for which every shortest
        way leaves the space.
        """
        return int(_distances_from(first.code)[_row(second.code)])

    def canonical(self, architecture: Architecture) -> str:
        """The sequence itself: no two are isomorphic."""
        return "".join(map(str, architecture.code))

    def to_string(self, architecture: Architecture) -> str:
        return f"64-{self.canonical(architecture)}-basic"

    def config_of(self, architecture: Architecture) -> dict[str, Any]:
        """``modules``: the types in their order, by name."""
        return {"modules": [self.operations[kind - 1] for kind in architecture.code]}

    def from_string(self, text: str) -> Architecture:
        match = _STRING.fullmatch(text.strip())
        if match is None:
            raise InvalidArchitectureError(self.name, text, "expected 64-, 4 to 6 digits 1 to 4, -basic")
        architecture = self._of(tuple(int(digit) for digit in match.group(1)))
        self.validate(architecture)
        return architecture

    def validate(self, architecture: Architecture) -> None:
        code = architecture.code
        self._check_name(architecture)
        if not isinstance(code, tuple) or not all(type(module) is int and module in _TYPES for module in code):
            raise InvalidArchitectureError(self.name, code, "module types are the integers 1 to 4")
        if not _is_valid(code):
            raise InvalidArchitectureError(
                self.name, code, "expected 4 to 6 modules, 1 to 3 of type 2 or 4 and 1 to 4 of type 3 or 4"
            )

    def encode_graph(self, architecture: Architecture) -> GraphEncoding:
        """Chain of shapes (7, 6), (7, 7), (7, 7, 3), (7,); node k is the result of module k, node 0 the input.

        Node features: 1 up to the last module, the index divided by 6, and the one-hot type of the incoming module (4).
        Edge features: the edge exists, it doubles the channels, it halves the resolution. Nodes behind the last module
        are padding.
        """
        n, f, e = self.graph_shape
        length = len(architecture.code)
        nodes = np.zeros((n, f), np.float32)
        nodes[: length + 1, 0] = 1
        nodes[: length + 1, 1] = np.arange(length + 1) / (n - 1)
        adjacency = np.zeros((n, n), np.float32)
        edges = np.zeros((n, n, e), np.float32)
        for k, module in enumerate(architecture.code):
            nodes[k + 1, 1 + module] = 1
            adjacency[k, k + 1] = 1
            edges[k, k + 1] = (1, module in _DOUBLING, module in _DOWNSAMPLING)
        return GraphEncoding(nodes, adjacency, edges, np.arange(n) <= length)

    def encode_vector(self, architecture: Architecture) -> NDArray[np.float64]:
        vector = np.zeros(self.vector_size)
        for k, module in enumerate(architecture.code):
            vector[4 * k + module - 1] = 1
        return vector

    def operation_graph(self, architecture: Architecture) -> OperationGraph:
        labels = ("input", *(self.operations[module - 1] for module in architecture.code), "output")
        return OperationGraph(labels, tuple((k, k + 1) for k in range(len(labels) - 1)))

    def enumerate(self) -> Iterator[Architecture]:
        """All networks, the short ones first, then in lexicographic order."""
        return (self._of(code) for code in _all_valid())

    def _of(self, code: _Modules) -> Architecture:
        return Architecture(self.name, code)


def _is_valid(code: _Modules) -> bool:
    doublings = sum(module in _DOUBLING for module in code)
    halvings = sum(module in _DOWNSAMPLING for module in code)
    return len(code) in _LENGTHS and 1 <= doublings <= 3 and 1 <= halvings <= 4


@cache
def _all_valid() -> tuple[_Modules, ...]:
    return tuple(code for length in _LENGTHS for code in itertools.product(_TYPES, repeat=length) if _is_valid(code))


@cache
def _rows() -> dict[_Modules, int]:
    return {code: row for row, code in enumerate(_all_valid())}


def _row(code: _Modules) -> int:
    return _rows()[code]


@cache
def _neighbours(code: _Modules) -> tuple[_Modules, ...]:
    return tuple(sorted(near for near in _one_edit_away(code) if _is_valid(near)))


@cache
def _neighbour_table() -> NDArray[np.int64]:
    """Rows of the neighbours of each network, (3256, most neighbours), filled up with the network itself."""
    table = [[_row(near) for near in _neighbours(code)] for code in _all_valid()]
    width = max(map(len, table))
    return np.array([near + [row] * (width - len(near)) for row, near in enumerate(table)])


@cache
def _distances_from(code: _Modules) -> NDArray[np.int8]:
    """Breadth-first distances (3256,) through valid networks."""
    table = _neighbour_table()
    distances = np.full(len(table), -1, np.int8)
    level, distance = np.array([_row(code)]), 0
    while len(level):
        distances[level] = distance
        reached = np.zeros(len(table), bool)
        reached[table[level]] = True
        level, distance = np.flatnonzero(reached & (distances < 0)), distance + 1
    return distances


def _one_edit_away(sequence: _Modules) -> set[_Modules]:
    """All sequences made by one replacement, insertion or deletion."""
    near = {sequence[:k] + sequence[k + 1 :] for k in range(len(sequence))}
    for letter in _TYPES:
        near |= {(*sequence[:k], letter, *sequence[k + 1 :]) for k in range(len(sequence))}
        near |= {(*sequence[:k], letter, *sequence[k:]) for k in range(len(sequence) + 1)}
    return near - {sequence}


def _prefix_table(first: _Modules, second: _Modules) -> list[list[int]]:
    table = [list(range(len(second) + 1))]
    for i, a in enumerate(first):
        row = [i + 1]
        for j, b in enumerate(second):
            row.append(min(table[i][j + 1] + 1, row[j] + 1, table[i][j] + (a != b)))
        table.append(row)
    return table


def _levenshtein_tables(first: _Modules, second: _Modules) -> tuple[list[list[int]], list[list[int]]]:
    """Levenshtein distances of all prefixes and of all suffixes.

    Entry [i][j] of the first table compares ``first[:i]`` with ``second[:j]``, of the second table ``first[i:]`` with
    ``second[j:]``. Their sum is the distance of the whole exactly where a best alignment cuts at (i, j).
    """
    backwards = _prefix_table(first[::-1], second[::-1])
    return _prefix_table(first, second), [row[::-1] for row in backwards[::-1]]
