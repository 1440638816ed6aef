"""Choices laid out as slots: one integer each, which of them exist under which values of others, and how many ways."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from keyword import iskeyword
from math import prod

from po_nas.errors import suggest
from po_nas.spaces.declared.choices import Categorical, Choice, Int
from po_nas.spaces.declared.errors import DeclarationError

__all__ = ["ABSENT", "Layout", "Slot"]

ABSENT = -1
"""The code of a slot that does not exist under the values of the others."""
_MOST = 1_000

Dimension = int | str
"""What the length of a list is: a number, or the value of an integer choice."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of the code.

    Attributes:
        name: Of the choice.
        choice: What may stand there.
        path: Its place in the (nested) lists of the configuration; empty for a choice that is not repeated.
        conditions: Other slots, all before this one, and the positions that they must have for this one to exist.
    """

    name: str
    choice: Choice
    path: tuple[int, ...]
    conditions: tuple[tuple[int, frozenset[int]], ...]


class Layout:
    """The slots of choices by name, those that others depend on first.

    Attributes:
        choices: By name, as declared.
        slots: All of them; the first exists always.
        dimensions: What repeats each choice, the outermost first.
        places: Slots of each choice by path.
        dependents: For each slot, those behind it whose existence hangs on it, directly or not, in order.

    Raises:
        DeclarationError: For names, conditions and repetitions that make no sense.
    """

    def __init__(self, choices: Mapping[str, Choice]) -> None:
        self.choices = dict(choices)
        self.dimensions: dict[str, tuple[Dimension, ...]] = {}
        self.places: dict[str, dict[tuple[int, ...], int]] = {}
        self._check_names()
        order = self._ordered()
        slots: list[Slot] = []
        for name in order:
            self.dimensions[name] = self._dimensions(name)
            self._check_conditions(name)
            self.places[name] = {}
            for path in itertools.product(*map(range, map(self._longest, self.dimensions[name]))):
                self.places[name][path] = len(slots)
                # What always holds is no condition.
                conditions = tuple(
                    (before, allowed)
                    for before, allowed in self._conditions(name, path)
                    if slots[before].conditions or len(allowed) < slots[before].choice.count
                )
                slots.append(Slot(name, self.choices[name], path, conditions))
                if len(slots) > _MOST:
                    raise DeclarationError(name, f"the space has more than {_MOST:,} choices, layers counted")
        self.slots = tuple(slots)
        above: list[set[int]] = []
        behind: list[list[int]] = [[] for _ in slots]
        for number, slot in enumerate(slots):
            direct = {before for before, _ in slot.conditions}
            above.append(direct.union(*(above[before] for before in direct)))
            for before in above[number]:
                behind[before].append(number)
        self.dependents = tuple(map(tuple, behind))
        if not any(slot.choice.count > 1 for slot in slots):
            raise DeclarationError("the space", "has one architecture only; give a choice two values")

    # -- what a declaration means ---------------------------------------------------------------------------------

    def _check_names(self) -> None:
        if not self.choices:
            raise DeclarationError("the space", "has no choices")
        for name, choice in self.choices.items():
            if not isinstance(choice, Choice):
                raise DeclarationError(str(name), f"is {type(choice).__name__}, no choice; wrap it in Categorical([…])")
            if not isinstance(name, str) or not name.isidentifier() or iskeyword(name):
                raise DeclarationError(repr(name), "is no name that a function could take as an argument")
            for other in self.parents(name):
                if other not in self.choices:
                    near = suggest(other, self.choices)
                    hint = f"; did you mean {near!r}?" if near else ""
                    raise DeclarationError(name, f"depends on {other!r}, which is no choice{hint}")

    def parents(self, name: str) -> list[str]:
        """The choices on which the existence of one hangs directly."""
        choice = self.choices[name]
        return [*choice.when, *([choice.repeated] if isinstance(choice.repeated, str) else [])]

    def _ordered(self) -> list[str]:
        """Names in the order of their declaration, but each behind all that it depends on."""
        found: dict[str, None] = {}
        open_: list[str] = []

        def visit(name: str) -> None:
            if name in found:
                return
            if name in open_:
                circle = " -> ".join((*open_[open_.index(name) :], name))
                raise DeclarationError(name, f"its existence hangs on itself ({circle})")
            open_.append(name)
            for parent in self.parents(name):
                visit(parent)
            open_.pop()
            found[name] = None

        for name in self.choices:
            visit(name)
        return list(found)

    def _dimensions(self, name: str) -> tuple[Dimension, ...]:
        repeated = self.choices[name].repeated
        if repeated is None:
            return ()
        if isinstance(repeated, int):
            return (repeated,)
        counts = self._counts(repeated)
        if not counts:
            raise DeclarationError(
                name, f"each({repeated!r}) wants a choice whose values are integers from 0 up: Int or Ordinal"
            )
        return (*self.dimensions[repeated], repeated)

    def _counts(self, name: str) -> list[int]:
        """The values of a choice where these can be lengths, else nothing."""
        choice = self.choices[name]
        if isinstance(choice, Int):
            return list(range(choice.low, choice.high + 1)) if choice.low >= 0 and choice.high <= _MOST else []
        values = choice.values if isinstance(choice, Categorical) else ()
        good = [value for value in values if isinstance(value, int) and not isinstance(value, bool) and value >= 0]
        return good if len(good) == len(values) else []

    def _longest(self, dimension: Dimension) -> int:
        return dimension if isinstance(dimension, int) else max(self._counts(dimension))

    def _check_conditions(self, name: str) -> None:
        for other, values in self.choices[name].when.items():
            choice = self.choices[other]
            if choice.continuous:
                raise DeclarationError(name, f"cannot hang on {other}, which is continuous")
            mine, theirs = self.dimensions[name], self.dimensions[other]
            if mine[: len(theirs)] != theirs:
                raise DeclarationError(
                    name, f"cannot hang on {other}, which there is one of in each of {theirs[-1]!r}; repeat both alike"
                )
            for value in values:
                if choice.position(value) is None:
                    texts = [v for v in getattr(choice, "values", ()) if isinstance(v, str)]
                    near = suggest(value, texts) if isinstance(value, str) else None
                    meant = "" if near is None else f"; did you mean {near!r}?"
                    reason = f"exists with {other}={value!r}, a value that {other} does not have{meant}"
                    raise DeclarationError(name, reason)

    def _conditions(self, name: str, path: tuple[int, ...]) -> Iterator[tuple[int, frozenset[int]]]:
        for depth, dimension in enumerate(self.dimensions[name]):
            if isinstance(dimension, str):
                counts = enumerate(self._counts(dimension))
                longer = frozenset(position for position, count in counts if count > path[depth])
                yield self.places[dimension][path[:depth]], longer
        for other, values in self.choices[name].when.items():
            allowed = {self.choices[other].position(value) for value in values}
            place = self.places[other][path[: len(self.dimensions[other])]]
            yield place, frozenset(position for position in allowed if position is not None)

    # -- codes ----------------------------------------------------------------------------------------------------

    def exists(self, code: Sequence[int], number: int) -> bool:
        """Whether a slot exists under the slots before it."""
        return all(code[before] in allowed for before, allowed in self.slots[number].conditions)

    def filled(self, code: list[int], fill: Callable[[int], int], numbers: Sequence[int] | None = None) -> list[int]:
        """The same list with `numbers` (default: all slots) filled where they exist and are absent, and emptied else.

        `fill` is asked for the position of a slot, in order.
        """
        for number in range(len(self.slots)) if numbers is None else numbers:
            if not self.exists(code, number):
                code[number] = ABSENT
            elif code[number] == ABSENT:
                code[number] = fill(number)
        return code

    def repeats(self, number: int) -> int | None:
        """The slot of the layer before in the same list, None where there is none."""
        slot = self.slots[number]
        return self.places[slot.name][*slot.path[:-1], slot.path[-1] - 1] if slot.path and slot.path[-1] else None

    def codes(self) -> Iterator[tuple[int, ...]]:
        """All codes in lexicographic order."""
        code = [ABSENT] * len(self.slots)

        def following(number: int) -> Iterator[tuple[int, ...]]:
            if number == len(code):
                yield tuple(code)
                return
            for position in range(self.slots[number].choice.count) if self.exists(code, number) else (ABSENT,):
                code[number] = position
                yield from following(number + 1)

        return following(0)

    def number_of_codes(self) -> int | None:
        """How many codes there are; None where a choice is continuous.

        Slots that do not hang together multiply. Among those that do, one on which others depend is taken out, and
        what is left is counted for each group of its values that leave the same slots.
        """
        if any(slot.choice.continuous for slot in self.slots):
            return None
        slots = self.slots

        @cache
        def count(left: frozenset[int]) -> int:
            return prod(map(connected, self._components(left)))

        def connected(group: frozenset[int]) -> int:
            if len(group) == 1:
                (number,) = group
                return slots[number].choice.count
            # The first of a group with several hangs on none of the others, and one of the others on it.
            root = min(number for number in group if any(number == b for g in group for b, _ in slots[g].conditions))
            ways: dict[frozenset[int], int] = {}
            for position in range(slots[root].choice.count):
                gone: set[int] = set()
                for number in sorted(group - {root}):
                    for before, allowed in slots[number].conditions:
                        if before in gone or (before == root and position not in allowed):
                            gone.add(number)
                remaining = group - gone - {root}
                ways[remaining] = ways.get(remaining, 0) + 1
            return sum(number * count(remaining) for remaining, number in ways.items())

        return count(frozenset(range(len(slots))))

    def _components(self, numbers: frozenset[int]) -> list[frozenset[int]]:
        group = {number: number for number in numbers}

        def root(number: int) -> int:
            while group[number] != number:
                number = group[number]
            return number

        for number in numbers:
            for before, _ in self.slots[number].conditions:
                if before in numbers:
                    group[root(number)] = root(before)
        found: dict[int, set[int]] = {}
        for number in numbers:
            found.setdefault(root(number), set()).add(number)
        return [frozenset(members) for members in found.values()]
