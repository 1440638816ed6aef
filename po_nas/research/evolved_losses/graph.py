"""The search space: graphs of four leaves, four hidden nodes and a root, acyclic and about both probabilities.

Reference: Morgan and Hougen, arXiv 2403.08793 (leaves, nodes, operators, arities, mutations). There, graphs are drawn
at random and nine in ten are thrown away, for want of a leaf or for a cycle; here no such graph is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from losses.classification import BINARY, UNARY
from po_nas.formula import Call, Node, text

__all__ = ["HIDDEN", "LEAVES", "ROOT", "Graph", "Vertex", "mutate", "sample"]

LEAVES: tuple[str | float, ...] = ("y", "p", 1.0, -1.0)
"""True probability of a class (0, 1 or smoothed), predicted probability, and two constants; vertices 0 to 3."""
HIDDEN = 4
ROOT = len(LEAVES) + HIDDEN
_BINARY_HIDDEN, _BINARY_ROOT = 0.3, 0.8
_OPERATOR, _CONNECTION = 0.70, 0.15
"""Shares of mutations; the rest changes the number of arguments."""
_SWAP = 0.2


@dataclass(frozen=True, slots=True)
class Vertex:
    """An operator and the vertices of its one or two (distinct) arguments."""

    operator: str
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Vertices 4 to 7 are hidden, 8 is the root, which takes hidden ones; arguments come before what uses them.

    Vertices that the root does not reach are kept: mutations may connect them.
    """

    vertices: tuple[Vertex, ...]

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Hidden vertices and root that the root reaches, ascending."""
        found, waiting = {ROOT}, [ROOT]
        while waiting:
            for argument in self.at(waiting.pop()).arguments:
                if argument >= len(LEAVES) and argument not in found:
                    found.add(argument)
                    waiting.append(argument)
        return tuple(sorted(found))

    def at(self, vertex: int) -> Vertex:
        """The hidden vertex or root of that number."""
        return self.vertices[vertex - len(LEAVES)]

    @cached_property
    def whole(self) -> bool:
        """Whether the root reaches both probabilities."""
        reached = {argument for vertex in self.active for argument in self.at(vertex).arguments}
        return {0, 1} <= reached

    @cached_property
    def formula(self) -> Node:
        """The active part as a tree; a vertex used twice is the same object in both places."""
        made: dict[int, Node] = dict(enumerate(LEAVES))
        for vertex in self.active:
            one = self.at(vertex)
            made[vertex] = Call(one.operator, tuple(made[argument] for argument in one.arguments))
        return made[ROOT]

    @cached_property
    def text(self) -> str:
        """The active part as text."""
        return text(self.formula)


def sample(rng: np.random.Generator) -> Graph:
    """A random graph in which the root reaches both probabilities."""
    vertices = []
    for vertex in range(len(LEAVES), ROOT + 1):
        root = vertex == ROOT
        binary = rng.random() < (_BINARY_ROOT if root else _BINARY_HIDDEN)
        choices = np.arange(len(LEAVES) if root else 0, vertex)
        arguments = rng.choice(choices, 1 + int(binary), replace=False)
        vertices.append(Vertex(_operator(1 + int(binary), rng), tuple(int(a) for a in arguments)))
    return _completed(Graph(tuple(vertices)), rng)


def _completed(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph itself, or one in which as few leaves as need be have become the missing probabilities."""
    while not graph.whole:
        slots = [
            (vertex, place)
            for vertex in graph.active
            for place, argument in enumerate(graph.at(vertex).arguments)
            if argument < len(LEAVES)
        ]
        if len(slots) < 2:
            # A chain: its last operator gets a second argument.
            (vertex, _), *_ = slots
            (only,) = graph.at(vertex).arguments
            other = int(rng.choice([leaf for leaf in range(len(LEAVES)) if leaf != only]))
            graph = _with(graph, vertex, Vertex(_operator(2, rng), (only, other)))
            continue
        reached = {graph.at(vertex).arguments[place] for vertex, place in slots}
        missing = [leaf for leaf in (0, 1) if leaf not in reached]
        # A leaf that is the only one of the other probability stays.
        free = [(v, k) for v, k in slots if graph.at(v).arguments[k] > 1] or [
            (v, k) for v, k in slots if sum(graph.at(w).arguments[m] == graph.at(v).arguments[k] for w, m in slots) > 1
        ]
        vertex, place = free[int(rng.integers(len(free)))]
        arguments = list(graph.at(vertex).arguments)
        arguments[place] = missing[0]
        graph = _with(graph, vertex, Vertex(graph.at(vertex).operator, tuple(arguments)))
    return graph


def mutate(graph: Graph, rng: np.random.Generator, tries: int = 100) -> Graph | None:
    """A graph that differs in one active vertex and still reaches both probabilities; None if none was found.

    The operator changes with probability .70, a connection with .15 (of two arguments, they are swapped with .2), the
    number of arguments with .15.
    """
    for _ in range(tries):
        vertex = int(rng.choice(graph.active))
        one, kind = graph.at(vertex), rng.random()
        if kind < _OPERATOR:
            names = UNARY if len(one.arguments) == 1 else BINARY
            changed = Vertex(str(rng.choice([name for name in names if name != one.operator])), one.arguments)
        elif kind < _OPERATOR + _CONNECTION:
            changed = _reconnected(graph, vertex, rng)
        else:
            changed = _other_arity(graph, vertex, rng)
        child = _with(graph, vertex, changed)
        if child.whole and child.text != graph.text:
            return child
    return None


def _reconnected(graph: Graph, vertex: int, rng: np.random.Generator) -> Vertex:
    one = graph.at(vertex)
    if len(one.arguments) == 2 and rng.random() < _SWAP:
        return Vertex(one.operator, one.arguments[::-1])
    place = int(rng.integers(len(one.arguments)))
    arguments = list(one.arguments)
    arguments[place] = _new_argument(graph, vertex, rng)
    return Vertex(one.operator, tuple(arguments))


def _other_arity(graph: Graph, vertex: int, rng: np.random.Generator) -> Vertex:
    one, left = graph.at(vertex), rng.random() < 0.5
    if len(one.arguments) == 2:
        return Vertex(_operator(1, rng), one.arguments[1:] if left else one.arguments[:1])
    new = _new_argument(graph, vertex, rng)
    return Vertex(_operator(2, rng), (new, *one.arguments) if left else (*one.arguments, new))


def _new_argument(graph: Graph, vertex: int, rng: np.random.Generator) -> int:
    """A vertex that may become an argument: none that depends on this one, for there would be a cycle."""
    depends = {vertex}
    for later in range(vertex + 1, ROOT + 1):
        if depends & set(graph.at(later).arguments):
            depends.add(later)
    first = len(LEAVES) if vertex == ROOT else 0
    taken = set(graph.at(vertex).arguments)
    choices = [v for v in range(first, ROOT) if v not in depends and v not in taken]
    return int(rng.choice(choices))


def _with(graph: Graph, vertex: int, changed: Vertex) -> Graph:
    """The graph with one vertex changed, its hidden vertices put in order again."""
    vertices = dict(enumerate(graph.vertices, len(LEAVES))) | {vertex: changed}
    number = {leaf: leaf for leaf in range(len(LEAVES))}
    left = list(range(len(LEAVES), ROOT + 1))
    ordered = []
    while left:
        ready = next(v for v in left if all(argument in number for argument in vertices[v].arguments))
        left.remove(ready)
        number[ready] = len(number)
        ordered.append(Vertex(vertices[ready].operator, tuple(number[a] for a in vertices[ready].arguments)))
    return Graph(tuple(ordered))


def _operator(arity: int, rng: np.random.Generator) -> str:
    names = UNARY if arity == 1 else BINARY
    return names[int(rng.integers(len(names)))]
