"""Names and values of another program as those of a declared space."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from po_nas.errors import ConfigError, InvalidArchitectureError, hint, short
from po_nas.runtime.imports.evaluations import number_of
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared.choices import Categorical, Choice, Float, Int
from po_nas.spaces.declared.configurations import Place
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = ["Translation", "coerced"]

_TOLERANCE = 1e-5
"""Of the range of a `Float`, how far beyond a bound a number may be, for it was rounded; its resolution."""
_WORDS: Mapping[str, object] = {"true": True, "false": False, "none": None, "null": None}


class Translation:
    """From the names and values of a source to architectures of a space.

    A name stands for the choice of that name. A layer of a repeated choice may be ``width[0]`` or ``width_0``; whether
    layers are counted from 0 or from 1 is told by the lowest number in the source.

    Args:
        space: The space.
        rename: Names of choices by names of the source. ``n_units_l{}`` names the layers of one: the number stands
            for ``{}``.
        ignore: Names of the source that are no choices; ``*`` stands for any characters.
        fill: Values of choices that the source does not have.
        others: Names of the source that may be there although they are no choices.

    Raises `ConfigError` for names that are none of the space.
    """

    def __init__(
        self,
        space: DeclaredSpace,
        rename: Mapping[str, str] | None = None,
        ignore: Sequence[str] = (),
        fill: Mapping[str, Any] | None = None,
        others: Collection[str] = (),
    ) -> None:
        self._space, self._ignore, self._others = space, tuple(ignore), others
        self._rename = dict(rename or {})
        for old, new in self._rename.items():
            self._known("rename", new, f"{old}={new}")
        for name in fill or {}:
            self._known("fill", name, name)
        self._fill = {name: coerced(space.choices[name], value) for name, value in (fill or {}).items()}
        self._patterns = [(_pattern(old), new) for old, new in self._rename.items() if "{}" in old]
        # Longer names first: of width and width_min, width_min_0 is a layer of the second.
        repeated = sorted((n for n in space.choices if space.dimensions(n)), key=len, reverse=True)
        self._patterns += [(_pattern(f"{name}_{{}}", len(space.dimensions(name))), name) for name in repeated]
        self._first: dict[str, int] = {}

    def _known(self, key: str, name: str, given: str) -> None:
        if name not in self._space.choices:
            known = ", ".join(self._space.choices)
            remedy = hint(name, self._space.choices, f"there are {known}")
            raise ConfigError(key, given, f"{name} is no choice; {remedy}")

    def look_at(self, rows: Iterable[Iterable[str]]) -> None:
        """Look through the names of all evaluations, to see from where layers are counted."""
        for name in {name for row in rows for name in row}:
            found = self._place(name)
            if found is not None and found[1]:
                self._first[found[0]] = min(self._first.get(found[0], 1), *found[1])

    def architecture(self, values: Mapping[str, Any]) -> Architecture:
        """The architecture that named values mean; `InvalidArchitectureError`, whose `reason` says why there is none.

        Raises the same for names that are no choices, and for choices that are missing.
        """
        places: dict[Place, Any] = {}
        strange: list[str] = []
        for name, value in values.items():
            if any(fnmatchcase(name, pattern) for pattern in self._ignore):
                continue
            place = self._place(name)
            if place is not None:
                self._enter(places, place, value)
            elif name not in self._others:
                strange.append(name)
        if strange:
            raise InvalidArchitectureError(self._space.name, dict(values), self._strange(strange))
        try:
            return self._space.architecture_of_places(places, self._fill)
        except InvalidArchitectureError as error:
            raise InvalidArchitectureError(self._space.name, dict(values), self._explained(error, places)) from None

    def _place(self, name: str) -> Place | None:
        """The choice and the layer, as the source counts them, that a name stands for."""
        if name in self._rename:
            return self._rename[name], ()
        if name in self._space.choices:
            return name, ()
        choice, *numbers = re.split(r"\[(\d+)\]", name)
        if len(numbers) > 1 and not any(numbers[1::2]) and (choice in self._space.choices or choice in self._rename):
            return self._rename.get(choice, choice), tuple(map(int, numbers[::2]))
        for pattern, target in self._patterns:
            match = pattern.fullmatch(name)
            if match:
                return target, tuple(map(int, match.groups()))
        return None

    def _enter(self, places: dict[Place, Any], place: Place, value: Any) -> None:
        name, path = place
        choice, dimensions = self._space.choices[name], self._space.dimensions(name)
        first = self._first.get(name, 0)
        path = tuple(k - first for k in path)
        if len(path) < len(dimensions):
            value = _listed(value)
        for inner, item in _leaves(value, path):
            found = coerced(choice, item)
            if found is not None or choice.position(None) is not None:
                where = (name, inner)
                if where in places:
                    raise InvalidArchitectureError(self._space.name, value, f"{name} is told twice")
                places[where] = found

    def _strange(self, names: Sequence[str]) -> str:
        shown = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
        what = f"{shown} is no choice" if len(names) == 1 else f"{shown} are no choices"
        return f"{what} of {self._space.name}; rename it to one, or ignore it"

    def _explained(self, error: InvalidArchitectureError, places: Mapping[Place, Any]) -> str:
        for name, path in places:
            wanted = len(self._space.dimensions(name))
            if len(path) < wanted:
                return f"{name} is {short(places[name, path])}, where a list is expected, one value for each layer"
            if len(path) > wanted:
                return f"{name} is told for layers, where one value is expected"
        return error.reason


def _pattern(name: str, numbers: int = 0) -> re.Pattern[str]:
    """What matches a name in which numbers stand for ``{}``; further numbers, up to so many, stand behind ``_``."""
    parts = map(re.escape, name.split("{}"))
    return re.compile(r"(\d+)".join(parts) + r"_(\d+)" * max(0, numbers - 1))


def _listed(value: Any) -> Any:
    """The list that a text writes, as JSON or as Python does; everything else as it is."""
    if isinstance(value, str):
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            return found if isinstance(found, list | tuple) else value
    return value


def _leaves(value: Any, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The values in nested lists, with their places."""
    if hasattr(value, "tolist") and getattr(value, "shape", ()) != ():
        value = value.tolist()
    if isinstance(value, list | tuple):
        for k, item in enumerate(value):
            yield from _leaves(item, (*path, k))
    else:
        yield path, value


def coerced(choice: Choice, given: Any) -> Any:
    """The value of a choice that another program has written in its own way; what is none stays as it is.

    Texts are read as numbers, true, false and None where the choice has such values; whole numbers may be written as
    3.0; and a number may miss a bound, or a value of an `Ordinal`, by what rounding has done to it.
    """
    if getattr(given, "shape", None) == () and callable(getattr(given, "item", None)):
        given = given.item()
    if isinstance(given, float) and math.isnan(given):
        return None
    if given is None or choice.position(given) is not None:
        return given
    if isinstance(choice, Categorical):
        return _alike(choice.values, given)
    number = number_of(given)
    if number is None or not math.isfinite(number):
        return given
    if isinstance(choice, Int):
        return int(number) if number.is_integer() else given
    return _within(choice, number) if isinstance(choice, Float) else given


def _alike(values: Sequence[Any], given: Any) -> Any:
    """The one of the values that is written like what is given, or nearly equals it."""
    if isinstance(given, str):
        for value in values:
            if str(value) == given.strip():
                return value
        word = _WORDS.get(given.strip().lower(), given)
        if not isinstance(word, str):
            return next((value for value in values if value is word), given)
    number = number_of(given)
    if number is not None:
        for value in values:
            exact = number_of(value) if not isinstance(value, str) else None
            if exact is not None and math.isclose(exact, number, rel_tol=1e-6):
                return value
    return given


def _within(choice: Float, number: float) -> float:
    """A number that is beyond a bound by less than the resolution of the choice is at the bound."""
    low, high = choice.low, choice.high
    if choice.log:
        if number <= 0:
            return number
        below, above, slack = math.log(low / number), math.log(number / high), _TOLERANCE * math.log(high / low)
    else:
        below, above, slack = low - number, number - high, _TOLERANCE * (high - low)
    if 0 < below <= slack:
        return low
    return high if 0 < above <= slack else number
