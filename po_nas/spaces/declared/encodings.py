"""What models and drawings see of a code: a vector, a dense graph, a graph of operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from po_nas.spaces.base import GraphEncoding, OperationGraph
from po_nas.spaces.declared.slots import ABSENT, Layout

__all__ = ["CodeEncodings"]

_MIDDLE = 0.5


class CodeEncodings:
    """Encodings of the codes of a layout.

    A graph has a node for each choice that exists. The layers of one choice are a chain; chains and single choices lie
    side by side between ``input`` and ``output``.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._names = {name: k for k, name in enumerate(layout.choices)}
        self._columns: list[int] = []
        width = 0
        for slot in layout.slots:
            self._columns.append(width)
            width += bool(slot.conditions) + (1 if slot.choice.numeric else slot.choice.count)
        self.vector_size = width
        self._layers = max(len(places) for places in layout.places.values())
        self._most = max((s.choice.count for s in layout.slots if not s.choice.numeric), default=0)

    @cached_property
    def numeric(self) -> NDArray[np.intp]:
        """Columns of the vector that are the places of single choices, not of layers, on a scale."""
        chosen = [
            column + bool(slot.conditions)
            for column, slot in zip(self._columns, self._layout.slots, strict=True)
            if slot.choice.numeric and not slot.path
        ]
        return np.array(chosen, dtype=np.intp)

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Columns of the vector by choice, all its layers together."""
        found: dict[str, list[int]] = {}
        ends = [*self._columns[1:], self.vector_size]
        for slot, start, end in zip(self._layout.slots, self._columns, ends, strict=True):
            found.setdefault(slot.name, []).extend(range(start, end))
        return tuple(map(tuple, found.values()))

    def vector(self, code: Sequence[int]) -> NDArray[np.float64]:
        """One entry for each numeric choice, its place on the scale; a one-hot for each other.

        In front of a choice that does not exist always, one entry says whether it does; where it does not, its place is
        the middle, its one-hot empty.
        """
        found = np.zeros(self.vector_size)
        for column, slot, position in zip(self._columns, self._layout.slots, code, strict=True):
            if slot.conditions:
                if position != ABSENT:
                    found[column] = 1.0
                column += 1
            if slot.choice.numeric:
                found[column] = _MIDDLE if position == ABSENT else slot.choice.unit(position)
            elif position != ABSENT:
                found[column + position] = 1.0
        return found

    def vectors(self, codes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Vectors (n, vector_size) of n codes; the same as those of `vector`."""
        table = np.array(codes, dtype=np.intp).reshape(-1, len(self._layout.slots))
        found = np.zeros((len(table), self.vector_size))
        for column, slot, positions in zip(self._columns, self._layout.slots, table.T, strict=True):
            present = positions != ABSENT
            if slot.conditions:
                found[:, column] = present
                column += 1
            if slot.choice.numeric:
                found[:, column] = np.where(present, slot.choice.units(positions), _MIDDLE)
            else:
                rows = np.flatnonzero(present)
                found[rows, column + positions[rows]] = 1.0
        return found

    def on_scale(self, code: Sequence[int]) -> tuple[list[int], NDArray[np.intp]]:
        """Slots that exist and have several places on a scale, and their columns."""
        chosen = [
            (number, column + bool(slot.conditions))
            for number, (column, slot) in enumerate(zip(self._columns, self._layout.slots, strict=True))
            if slot.choice.numeric and slot.choice.count > 1 and code[number] != ABSENT
        ]
        return [number for number, _ in chosen], np.array([column for _, column in chosen], dtype=np.intp)

    @property
    def graph_shape(self) -> tuple[int, int, int]:
        """Nodes, features of a node, features of an edge."""
        return len(self._layout.slots) + 2, 4 + len(self._names) + self._most, 1

    def graph(self, code: Sequence[int]) -> GraphEncoding:
        """The dense graph; nodes are input, slots in their order, output.

        Features of a node: input, output, its layer as a share of the most there are, its place on the scale, one-hot
        of the choice, one-hot of the value of a choice without a scale.
        """
        n, f, e = self.graph_shape
        nodes = np.zeros((n, f), np.float32)
        nodes[0, 0] = nodes[-1, 1] = 1
        mask = np.zeros(n, bool)
        mask[[0, -1]] = True
        start = 4 + len(self._names)
        for number, (slot, position) in enumerate(zip(self._layout.slots, code, strict=True)):
            if position == ABSENT:
                continue
            node = nodes[number + 1]
            mask[number + 1] = True
            node[2] = (number - self._layout.places[slot.name][(0,) * len(slot.path)]) / self._layers
            node[4 + self._names[slot.name]] = 1
            if slot.choice.numeric:
                node[3] = slot.choice.unit(position)
            else:
                node[start + position] = 1
        adjacency = np.zeros((n, n), np.float32)
        for i, j in self._edges(code):
            adjacency[i, j] = 1
        return GraphEncoding(nodes, adjacency, adjacency[:, :, None].repeat(e, 2), mask)

    @cached_property
    def _labels(self) -> list[list[str] | None]:
        """The labels of each slot by position; None where there are very many."""
        made: dict[str, list[str]] = {}
        for name, choice in self._layout.choices.items():
            if choice.all_near:
                made[name] = [f"{name}={choice.value(position)}" for position in range(choice.count)]
        return [made.get(slot.name) for slot in self._layout.slots]

    def operations(self, code: Sequence[int], coarse: bool = False) -> OperationGraph:
        """The graph with labels such as ``width=16``; if `coarse`, very many values are left out of them."""
        place, labels = [0], ["input"]
        for slot, position, known in zip(self._layout.slots, code, self._labels, strict=True):
            if position != ABSENT:
                place.append(len(labels))
                if known is not None:
                    labels.append(known[position])
                else:
                    labels.append(slot.name if coarse else f"{slot.name}={slot.choice.value(position)}")
            else:
                place.append(-1)
        place.append(len(labels))
        edges = tuple([(place[i], place[j]) for i, j in self._edges(code)])
        return OperationGraph((*labels, "output"), edges)

    def _edges(self, code: Sequence[int]) -> list[tuple[int, int]]:
        """Edges between nodes; node 0 is the input, node k + 1 slot k, the last one the output."""
        found, last = [], len(code) + 1
        before, name = 0, None
        for number, (slot, position) in enumerate(zip(self._layout.slots, code, strict=True), 1):
            if slot.name != name:
                if before:
                    found.append((before, last))
                before, name = 0, slot.name
            if position != ABSENT:
                found.append((before, number))
                before = number
        if before:
            found.append((before, last))
        return found
