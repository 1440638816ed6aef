"""Whole populations evaluated at once: each subtree is computed once for all problems, each τ once for all formulas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.formula import Call, Node
from po_nas.research.evolved_proxies.symbolic.grammar import Tree, function_of
from po_nas.research.evolved_proxies.symbolic.kendall import Kendall
from po_nas.research.evolved_proxies.symbolic.problem import Problem
from proxies.evolved.functions import FUNCTIONS
from proxies.evolved.reference import Reference

__all__ = ["Population"]

F64: TypeAlias = NDArray[np.float64]
Key: TypeAlias = "str | float | tuple[str, int] | tuple[str, int, int]"

_BYTES = 256 * 1024 * 1024
"""Memory for the values of subtrees; when it is full, all are forgotten and computed again as needed."""


class Population:
    """Values and τ of trees over problems.

    `references` normalise the leaves of each problem. The architectures of all problems lie side by side, so a
    function is applied once to all trees that need it at the same level. Trees that differ only in the order of the
    arguments of a commutative function are one: they have one number (`number`).
    """

    def __init__(self, problems: Sequence[Problem], references: Sequence[Reference], leaves: Sequence[str]) -> None:
        ends = np.cumsum([0, *(len(p) for p in problems)])
        self._slices = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self._kendall = [Kendall(p.accuracy) for p in problems]
        self._width = int(ends[-1])
        self._numbers: dict[Key, int] = {}
        self._keys: list[Key] = []
        self._levels: list[int] = []
        self._taus: dict[int, F64] = {}
        self._leaves = np.empty((len(leaves), self._width))
        for place, leaf in enumerate(leaves):
            for problem, reference, part in zip(problems, references, self._slices, strict=True):
                column = problem.columns.get(leaf)
                given = np.full(len(problem), np.nan) if column is None else column
                self._leaves[place, part] = reference.transform(leaf, given)
            self._number(leaf, 0)
        # A formula at a level is made of rows that were made before.
        self._capacity = max(1_000, _BYTES // (8 * self._width))
        self._forget()

    def _forget(self) -> None:
        self._store = np.empty((min(self._capacity, max(4_096, 2 * len(self._leaves))), self._width))
        self._store[: len(self._leaves)] = self._leaves
        self._rows = {number: number for number in range(len(self._leaves))}

    def _number(self, key: Key, level: int) -> int:
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._keys)
            self._keys.append(key)
            self._levels.append(level)
        return found

    def number(self, tree: Tree) -> int:
        """The number of a tree: equal for trees that are the same formula."""
        waiting: list[int] = []
        numbers, levels = self._numbers, self._levels
        for node in reversed(tree):
            if node.arity == 0:
                waiting.append(self._number(node.value, 0))
                continue
            name = function_of(node)
            first = waiting.pop()
            key: Key
            if node.arity == 1:
                key, level = (name, first), levels[first]
            else:
                second = waiting.pop()
                level = max(levels[first], levels[second])
                key = (name, second, first) if second < first and FUNCTIONS[name].commutative else (name, first, second)
            found = numbers.get(key)
            waiting.append(self._number(key, level + 1) if found is None else found)
        return waiting[0]

    def formula(self, number: int) -> Node:
        """The formula of a number."""
        key = self._keys[number]
        if not isinstance(key, tuple):
            return key
        return Call(key[0], tuple(self.formula(child) for child in key[1:]))

    def values(self, numbers: Sequence[int]) -> F64:
        """Values (m, n) of m formulas, the problems' architectures side by side."""
        needed = self._needed(numbers)
        if len(self._rows) + len(needed) > self._capacity:
            self._forget()
            needed = self._needed(numbers)
        self._compute(needed)
        return self._store[[self._rows[number] for number in numbers]]

    def _needed(self, numbers: Sequence[int]) -> set[int]:
        found: set[int] = set()
        waiting = list(numbers)
        while waiting:
            number = waiting.pop()
            if number not in self._rows and number not in found:
                found.add(number)
                key = self._keys[number]
                if isinstance(key, tuple):
                    waiting += key[1:]
        return found

    def _compute(self, numbers: set[int]) -> None:
        """Level by level, each function at once for all that need it; (level, function) in a fixed order."""
        groups: dict[tuple[int, str], list[int]] = defaultdict(list)
        for number in sorted(numbers):
            key = self._keys[number]
            groups[self._levels[number], key[0] if isinstance(key, tuple) else ""].append(number)
        self._reserve(len(self._rows) + len(numbers))
        for (_, function), members in sorted(groups.items()):
            start = len(self._rows)
            target = self._store[start : start + len(members)]
            if not function:
                target[:] = np.array([self._keys[number] for number in members], dtype=np.float64)[:, None]
            else:
                target[:] = FUNCTIONS[function].apply(*self._arguments(members))
            self._rows.update(zip(members, range(start, start + len(members)), strict=True))

    def _arguments(self, members: Sequence[int]) -> list[F64]:
        keys = [key[1:] for number in members if isinstance(key := self._keys[number], tuple)]
        return [self._store[[self._rows[child] for child in column]] for column in zip(*keys, strict=True)]

    def _reserve(self, rows: int) -> None:
        if rows > len(self._store):
            larger = np.empty((max(rows, min(self._capacity, 2 * len(self._store))), self._width))
            larger[: len(self._rows)] = self._store[: len(self._rows)]
            self._store = larger

    def taus(self, numbers: Sequence[int]) -> F64:
        """τ-b (m, p) of m formulas on p problems; 0 where a formula is constant, NaN where it has no value."""
        new = [number for number in dict.fromkeys(numbers) if number not in self._taus]
        if new:
            values = self.values(new)
            found = np.stack([tau(values[:, part]) for tau, part in zip(self._kendall, self._slices, strict=True)], 1)
            self._taus.update(zip(new, found, strict=True))
        return np.stack([self._taus[number] for number in numbers])

    @property
    def evaluated(self) -> int:
        """Different formulas whose τ were computed."""
        return len(self._taus)
