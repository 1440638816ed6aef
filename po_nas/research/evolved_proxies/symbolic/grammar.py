"""The typed grammar of evolved proxies, and trees in it drawn at random.

Trees are DEAP's: a tree is a list of primitives and terminals in prefix order, `deap.gp.PrimitiveTree`. There are two
types: a `Score` differs from architecture to architecture, a `Constant` does not and appears as a weight or as an
addend only. Every draw is from the generator that is passed in; DEAP's own operators, which draw from Python's global
one, are not used. Nothing is compiled: `po_nas.research.evolved_proxies.symbolic.population` evaluates trees.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

import numpy as np
from deap import gp

from po_nas.errors import ProblemError
from po_nas.formula import Call, Node
from proxies.evolved.functions import FUNCTIONS

__all__ = ["Constant", "Grammar", "Score", "Tree", "formula_of"]

_PATIENCE = 200
"""Draws of too large a tree, after which its depth is lessened by one."""


class Score:
    """The type of what differs between architectures."""


class Constant:
    """The type of numbers."""


Tree: TypeAlias = gp.PrimitiveTree

_WITH_CONSTANT = {"weighted": "mul", "shifted": "add"}
"""Primitives that take a constant and a score, and the function that they are."""


class Grammar:
    """Leaves, functions and, if asked, constants; draws trees.

    `max_size` nodes and `max_depth` edges from the root bound every tree. Raises `ProblemError` without leaves and
    `KeyError` for a function that there is not.
    """

    def __init__(
        self,
        leaves: Sequence[str],
        *,
        functions: Collection[str] = tuple(FUNCTIONS),
        constants: bool = False,
        max_depth: int = 6,
        max_size: int = 25,
    ) -> None:
        if not leaves:
            raise ProblemError("there is no leaf to build formulas of")
        self.max_depth, self.max_size, self.constants = max_depth, max_size, constants
        self.set = gp.PrimitiveSetTyped("metric", [], Score)
        self._functions = [self._add(name, [Score] * FUNCTIONS[name].arity, name) for name in functions]
        if constants:
            self._functions += [self._add(name, [Constant, Score], f) for name, f in _WITH_CONSTANT.items()]
        self.leaves = [gp.Terminal(leaf, True, Score) for leaf in leaves]

    def _add(self, name: str, types: list[type], function: str) -> Any:
        self.set.addPrimitive(FUNCTIONS[function].apply, types, Score, name=name)
        return self.set.mapping[name]

    def constant(self, rng: np.random.Generator) -> Any:
        """A constant from a normal distribution around 0 with deviation 1."""
        return number(round(float(rng.normal()), 4))

    def leaf(self, rng: np.random.Generator) -> Any:
        """A variable."""
        return self.leaves[int(rng.integers(len(self.leaves)))]

    def function(self, rng: np.random.Generator, like: Any = None) -> Any:
        """A primitive; one of the same argument types as `like`, where that is given."""
        chosen = self._functions if like is None else [f for f in self._functions if f.args == like.args]
        return chosen[int(rng.integers(len(chosen)))]

    def draw(self, rng: np.random.Generator, depth: int, *, full: bool = False) -> Tree:
        """A tree of at most that depth (``full``: all ways that deep), within `max_size`."""
        for attempt in itertools.count():
            nodes: list[Any] = []
            # A full tree of functions of two arguments may be too large at any draw.
            self._grow(nodes, rng, max(0, min(depth, self.max_depth) - attempt // _PATIENCE), full)
            if len(nodes) <= self.max_size:
                return Tree(nodes)
        raise AssertionError("a leaf fits always")

    def _grow(self, nodes: list[Any], rng: np.random.Generator, depth: int, full: bool) -> None:
        stop = depth == 0 or (not full and rng.random() < len(self.leaves) / (len(self.leaves) + len(self._functions)))
        if stop:
            nodes.append(self.leaf(rng))
            return
        chosen = self.function(rng)
        nodes.append(chosen)
        for kind in chosen.args:
            if kind is Constant:
                nodes.append(self.constant(rng))
            else:
                self._grow(nodes, rng, depth - 1, full)

    def fits(self, tree: Tree) -> bool:
        """Whether a tree is within both bounds."""
        return len(tree) <= self.max_size and tree.height <= self.max_depth


def number(value: float) -> Any:
    """A constant as a terminal."""
    return gp.Terminal(float(value), False, Constant)


def formula_of(tree: Tree) -> Node:
    """A tree as a formula that is printed, stored and exchanged."""
    waiting: list[Node] = []
    for node in reversed(tree):
        if node.arity == 0:
            waiting.append(node.value)
        else:
            arguments = tuple(waiting.pop() for _ in range(node.arity))
            waiting.append(Call(_WITH_CONSTANT.get(node.name, node.name), arguments))
    return waiting[0]


def function_of(node: Any) -> str:
    """The function that a primitive stands for."""
    return _WITH_CONSTANT.get(node.name, str(node.name))
