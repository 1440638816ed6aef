"""Configurations, the dicts that users see, and codes: the one from the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from po_nas.errors import InvalidArchitectureError, short
from po_nas.spaces.declared.slots import ABSENT, Layout

__all__ = ["Configurations", "Place"]

Place: TypeAlias = tuple[str, tuple[int, ...]]
"""A choice by its name, and the layer of it, counted from 0; () for one that is not repeated."""


class Configurations:
    """The configurations of a layout.

    A configuration maps the names of choices to their values, in the order of the declaration. Repeated choices are
    lists. A choice that does not exist under the others is not in it; within a list, where only some layers have it,
    None stands for it.
    """

    def __init__(self, space: str, layout: Layout) -> None:
        self._space, self._layout = space, layout

    def of(self, code: tuple[int, ...]) -> dict[str, Any]:
        """The configuration of a valid code."""
        found: dict[str, Any] = {}
        for name in self._layout.choices:
            if not self._is_absent(code, name):
                found[name] = self._value(code, name, ())
        return found

    def _is_absent(self, code: tuple[int, ...], name: str) -> bool:
        """Whether the choice as a whole does not exist, rather than in some layers only."""
        layout = self._layout
        if not layout.dimensions[name]:
            return code[layout.places[name][()]] == ABSENT
        when = layout.choices[name].when
        single = [(other, values) for other, values in when.items() if not layout.dimensions[other]]
        return any(self._is_absent(code, parent) for parent in layout.parents(name)) or any(
            code[layout.places[other][()]] not in {layout.choices[other].position(value) for value in values}
            for other, values in single
        )

    def _length(self, code: tuple[int, ...], dimension: int | str, path: tuple[int, ...]) -> int | None:
        """How long a list is; None where there is none."""
        if isinstance(dimension, int):
            return dimension
        place = self._layout.places[dimension][path]
        return None if code[place] == ABSENT else int(self._layout.choices[dimension].value(code[place]))

    def _value(self, code: tuple[int, ...], name: str, path: tuple[int, ...]) -> Any:
        dimensions = self._layout.dimensions[name]
        if len(path) < len(dimensions):
            length = self._length(code, dimensions[len(path)], path)
            return None if length is None else [self._value(code, name, (*path, k)) for k in range(length)]
        position = code[self._layout.places[name][path]]
        return None if position == ABSENT else self._layout.choices[name].value(position)

    def code_of(self, configuration: object) -> tuple[int, ...]:
        """The code of a configuration.

        A `Float` goes to the nearest number that it is resolved to. Raises `InvalidArchitectureError`, which names the
        choice.
        """
        if not isinstance(configuration, Mapping):
            raise InvalidArchitectureError(self._space, configuration, "expected a mapping of choices to values")
        layout = self._layout
        for name in configuration:
            if name not in layout.choices:
                raise InvalidArchitectureError(self._space, configuration, f"{short(name)} is no choice of it")
        code = [ABSENT] * len(layout.slots)
        for number, slot in enumerate(layout.slots):
            if not layout.exists(code, number):
                continue
            value = configuration.get(slot.name, _NOTHING)
            if value is _NOTHING:
                raise InvalidArchitectureError(self._space, configuration, f"{slot.name} is missing")
            for k in slot.path:
                value = value[k] if isinstance(value, list | tuple) and k < len(value) else _NOTHING
            position = slot.choice.position(value)
            if position is None:
                where = slot.name + "".join(f"[{k}]" for k in slot.path)
                found = "missing" if value is _NOTHING else f"{short(value)}, which is none of its values"
                raise InvalidArchitectureError(self._space, configuration, f"{where} is {found}")
            code[number] = position
        expected = self.of(tuple(code))
        for name, value in configuration.items():
            if name not in expected:
                raise InvalidArchitectureError(self._space, configuration, f"{name} does not exist under the others")
            if not _same_shape(expected[name], value):
                reason = f"{name} has other layers than the others ask for"
                raise InvalidArchitectureError(self._space, configuration, reason)
        return tuple(code)

    def code_of_places(self, values: Mapping[Place, Any], otherwise: Mapping[str, Any]) -> tuple[int, ...]:
        """The code of values by name and layer: ``{("depth", ()): 2, ("width", (0,)): 8, ("width", (1,)): 16}``.

        `otherwise` has values, by name, for choices and layers that exist and have none. None at a place where no
        choice exists is nothing. Raises `InvalidArchitectureError`, which names the choice.
        """
        layout, left = self._layout, dict(values)
        code = [ABSENT] * len(layout.slots)
        for number, slot in enumerate(layout.slots):
            if not layout.exists(code, number):
                continue
            place = (slot.name, slot.path)
            if place not in left and slot.name not in otherwise:
                raise InvalidArchitectureError(self._space, _shown(values), f"{_where(place)} is missing")
            value = left.pop(place) if place in left else otherwise[slot.name]
            position = slot.choice.position(value)
            if position is None:
                reason = f"{_where(place)} is {short(value)}, which is none of its values"
                raise InvalidArchitectureError(self._space, _shown(values), reason)
            code[number] = position
        for place, value in left.items():
            if value is not None:
                reason = f"{_where(place)} does not exist under the others"
                raise InvalidArchitectureError(self._space, _shown(values), reason)
        return tuple(code)


def _where(place: Place) -> str:
    return place[0] + "".join(f"[{k}]" for k in place[1])


def _shown(values: Mapping[Place, Any]) -> dict[str, Any]:
    return {_where(place): value for place, value in values.items()}


_NOTHING = object()


def _same_shape(expected: Any, given: Any) -> bool:
    """Whether two values are lists of the same lengths, with None in the same places."""
    if isinstance(expected, list):
        fits = isinstance(given, list | tuple) and len(given) == len(expected)
        return fits and all(map(_same_shape, expected, given))
    return not isinstance(given, list | tuple)
