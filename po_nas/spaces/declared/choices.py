"""Named choices, of which declared search spaces are made: `Categorical`, `Ordinal`, `Int`, `Float`."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import short
from po_nas.spaces.declared.errors import DeclarationError

__all__ = ["Categorical", "Choice", "Float", "Int", "Ordinal", "Scalar", "choice_from_json", "same"]

Scalar: TypeAlias = str | int | float | bool | None
C = TypeVar("C", bound="Choice")

_LISTED = 32
"""Values, up to which all others are neighbours of one."""
_RESOLUTION = 100_000
"""Steps from the lower to the upper bound of a `Float`."""
_MOST = 1_000_000
"""Values of an `Int`."""
_WIDE, _NARROW = 0.2, 0.02
"""Standard deviations of a mutation, as shares of the range; each is taken half of the time."""
_DISTANCES = (0.004, 0.02, 0.08, 0.3)
"""How far neighbours are, as shares of the range, where not all values are neighbours."""
_DRAWS = 20


def same(first: object, second: object) -> bool:
    """Whether two values are the same to JSON: 1 is not True."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)


class Choice(ABC):
    """One named choice of a declared space: values at positions 0 to `count` - 1.

    Choices are immutable. `when` and `each` say where they exist.

    Attributes:
        count: Number of values.
        numeric: Whether values lie on a scale.
        continuous: Whether the values stand for an interval of real numbers.
        when: Names of other choices with the values under which this one exists; all of them must hold.
        repeated: How often there is one, a number or the name of an integer choice; None for a single one.
    """

    count: int
    numeric: bool = False
    continuous: bool = False

    def __init__(self, when: Mapping[str, Any] | None) -> None:
        self.when = _conditions(self, when)
        self.repeated: int | str | None = None

    def each(self: C, count: int | str) -> C:
        """One such choice for each layer: a list as long as a number, or as the value of an integer choice, says.

        Where that choice is itself a list (a depth for each stage), this becomes a list of lists.
        """
        if isinstance(count, bool) or not isinstance(count, int | str):
            raise DeclarationError(repr(self), f"each({short(count)}) takes a number or the name of a choice")
        if isinstance(count, int) and count < 1:
            raise DeclarationError(repr(self), f"each({count}) makes no choice at all; give 1 or more")
        if self.repeated is not None:
            raise DeclarationError(repr(self), f"is repeated twice, by {self.repeated!r} and {count!r}")
        repeated = copy.copy(self)
        repeated.repeated = count
        return repeated

    @abstractmethod
    def value(self, position: int) -> Any:
        """What the configuration holds for a position."""

    @abstractmethod
    def position(self, value: object) -> int | None:
        """The position of a value; None for what is none."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """The kind with its bounds or values, as in JSON."""

    def at(self, share: float) -> int:
        """The position at a share in [0, 1) of the distribution that sampling has."""
        return int(share * self.count)

    def unit(self, position: int) -> float:
        """Where a position lies on the scale from 0 to 1."""
        return position / (self.count - 1) if self.count > 1 else 0.0

    def units(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """Where positions (n,) lie on the scale; those below 0 get any number."""
        return positions / (self.count - 1) if self.count > 1 else np.zeros(len(positions))

    def nearest(self, unit: float) -> int:
        """The position next to a place on the scale from 0 to 1."""
        return round(unit * (self.count - 1))

    def mutated(self, position: int, rng: np.random.Generator) -> int:
        """Another position: near on the scale for what has one, uniform otherwise. There must be two."""
        if not self.numeric:
            return (position + 1 + int(rng.integers(self.count - 1))) % self.count
        spread = _WIDE if rng.random() < 0.5 else _NARROW
        for step in rng.normal(self.unit(position), spread, _DRAWS).tolist():
            other = self.nearest(_reflected(step))
            if other != position:
                return other
        up = position == 0 or (position < self.count - 1 and rng.random() < 0.5)
        return position + 1 if up else position - 1

    @property
    def all_near(self) -> bool:
        """Whether `neighbours` are all other positions."""
        return self.count <= _LISTED

    def neighbours(self, position: int) -> list[int]:
        """All other positions up to 32 values, else some at distances from very near to far."""
        if self.all_near:
            return [other for other in range(self.count) if other != position]
        near = set() if self.continuous else {position - 1, position + 1}
        place = self.unit(position)
        near |= {self.nearest(place + s * d) for d in _DISTANCES for s in (-1, 1) if 0 <= place + s * d <= 1}
        return sorted(other for other in near - {position} if 0 <= other < self.count)

    def to_json(self) -> dict[str, Any]:
        """The choice as `choice_from_json` reads it."""
        found = self._arguments()
        if self.repeated is not None:
            found["each"] = self.repeated
        if self.when:
            found["when"] = {name: list(values) for name, values in self.when.items()}
        return found

    def __repr__(self) -> str:
        (kind, values), *options = self._arguments().items()
        inside = repr(values) if kind in ("categorical", "ordinal") else ", ".join(map(repr, values))
        return f"{kind.capitalize()}({inside}{''.join(f', {k}={v!r}' for k, v in options)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and repr(self.to_json()) == repr(other.to_json())

    def __hash__(self) -> int:
        return hash(repr(self.to_json()))


class Categorical(Choice):
    """One of several values without an order.

    A mutation draws another value, uniformly.

    Args:
        values: Strings, numbers, true or false, None; at least one, all different.
        when: Other choices by name, with the value or values under which this one exists; all must hold. Default:
            always.

    Raises:
        DeclarationError: For values that cannot be used.

    Examples:
        >>> from po_nas import Categorical
        >>> Categorical(["relu", "gelu"])
        Categorical(['relu', 'gelu'])
        >>> Categorical(["relu", "gelu"]).each("depth").repeated
        'depth'
    """

    def __init__(self, values: Sequence[Scalar], *, when: Mapping[str, Any] | None = None) -> None:
        self.values = _values(type(self).__name__, values)
        self.count = len(self.values)
        self._positions = {(type(value) is bool, value): k for k, value in enumerate(self.values)}
        super().__init__(when)

    def value(self, position: int) -> Scalar:
        """The value at a position."""
        return self.values[position]

    def position(self, value: object) -> int | None:
        """The position of a value."""
        try:
            return self._positions.get((type(value) is bool, value))  # type: ignore[arg-type]
        except TypeError:
            return None

    def _arguments(self) -> dict[str, Any]:
        return {type(self).__name__.lower(): list(self.values)}


class Ordinal(Categorical):
    """One of several values in an order, such as widths. A mutation goes to one near by.

    Args:
        values: As for `Categorical`, from one end of the scale to the other.
        when: As for `Categorical`.

    Raises:
        DeclarationError: For values that cannot be used.

    Examples:
        >>> from po_nas import Ordinal
        >>> Ordinal([8, 16, 32]).count
        3
    """

    numeric = True


class Int(Choice):
    """An integer from `low` to `high`, both included.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Uniform and mutated on a logarithmic scale; `low` must then be positive.
        when: As for `Categorical`.

    Raises:
        DeclarationError: For bounds that are no integers, are not in order, or have more than a million values.

    Examples:
        >>> from po_nas import Int
        >>> Int(16, 512, log=True)
        Int(16, 512, log=True)
    """

    numeric = True

    def __init__(self, low: int, high: int, *, log: bool = False, when: Mapping[str, Any] | None = None) -> None:
        self.low, self.high, self.log = low, high, log
        shown = f"Int({low!r}, {high!r})"
        if any(isinstance(bound, bool) or not isinstance(bound, int) for bound in (low, high)):
            raise DeclarationError(shown, "bounds of Int are integers")
        _check_bounds(shown, low, high, log)
        self.count = high - low + 1
        if self.count > _MOST:
            raise DeclarationError(shown, f"has {self.count:,} values, {_MOST:,} are allowed; take a Float")
        super().__init__(when)

    def value(self, position: int) -> int:
        """The integer at a position."""
        return self.low + position

    def position(self, value: object) -> int | None:
        """The position of an integer within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            return None
        return value - self.low

    def at(self, share: float) -> int:
        """Uniform over the integers, or over their logarithms."""
        if not self.log:
            return super().at(share)
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(low + share * (high - low))), self.low), self.high) - self.low

    def unit(self, position: int) -> float:
        """The place on the scale, which may be logarithmic."""
        if not self.log:
            return super().unit(position)
        return math.log((self.low + position) / self.low) / math.log(self.high / self.low)

    def units(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """Places on the scale."""
        if not self.log:
            return super().units(positions)
        return np.array([self.unit(max(position, 0)) for position in positions.tolist()])

    def nearest(self, unit: float) -> int:
        """The integer next to a place on the scale."""
        if not self.log:
            return super().nearest(unit)
        exact = self.low * math.exp(unit * math.log(self.high / self.low))
        return min(max(round(exact), self.low), self.high) - self.low

    def _arguments(self) -> dict[str, Any]:
        return {"int": [self.low, self.high], **({"log": True} if self.log else {})}


class Float(Choice):
    """A real number from `low` to `high`.

    Numbers are resolved to a hundred-thousandth of the range (of the logarithms), and each is the shortest decimal
    within its hundred-thousandth: 0.012, not 0.012000000000000004.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Uniform and mutated on a logarithmic scale; `low` must then be positive.
        when: As for `Categorical`.

    Raises:
        DeclarationError: For bounds that are not finite, not in order, or too near or far for floating-point numbers.

    Examples:
        >>> from po_nas import Float
        >>> Float(1e-4, 1e-1, log=True)
        Float(0.0001, 0.1, log=True)
    """

    numeric = True
    continuous = True
    count = _RESOLUTION + 1

    def __init__(self, low: float, high: float, *, log: bool = False, when: Mapping[str, Any] | None = None) -> None:
        shown = f"Float({low!r}, {high!r})"
        for bound in (low, high):
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
                raise DeclarationError(shown, "bounds of Float are finite numbers")
        self.low, self.high, self.log = float(low), float(high), log
        _check_bounds(shown, low, high, log)
        if not math.isfinite(self.high - self.low):
            raise DeclarationError(shown, "the range is too wide for floating-point numbers")
        if self._place(1 / _RESOLUTION) <= self.low or self._place(1 - 1 / _RESOLUTION) >= self.high:
            raise DeclarationError(shown, "the range is too narrow for floating-point numbers")
        super().__init__(when)

    def value(self, position: int) -> float:
        """The shortest decimal of a position."""
        return _decimal(self.low, self.high, self.log, position)

    def position(self, value: object) -> int | None:
        """The position nearest to a number within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        return _position(self.low, self.high, self.log, float(value))

    def _place(self, unit: float) -> float:
        return _place(self.low, self.high, self.log, unit)

    def _arguments(self) -> dict[str, Any]:
        return {"float": [self.low, self.high], **({"log": True} if self.log else {})}


def _place(low: float, high: float, log: bool, unit: float) -> float:
    if log:
        return math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    return low + unit * (high - low)


def _position(low: float, high: float, log: bool, value: float) -> int:
    first, last, place = map(math.log, (low, high, value)) if log else (low, high, value)
    unit = (place - first) / (last - first)
    return min(max(round(unit * _RESOLUTION), 0), _RESOLUTION)


@lru_cache(maxsize=65_536)
def _decimal(low: float, high: float, log: bool, position: int) -> float:
    if position in (0, _RESOLUTION):
        return low if position == 0 else high
    exact = _place(low, high, log, position / _RESOLUTION)
    for digits in range(1, 17):
        value = float(f"{exact:.{digits}g}")
        if low < value < high and _position(low, high, log, value) == position:
            return value
    return exact


def _reflected(unit: float) -> float:
    """A place on the scale from 0 to 1, thrown back at its ends."""
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit


def _written(text: str) -> bool:
    """Whether a text can be written to a file: a lone surrogate cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _values(kind: str, values: Sequence[Scalar]) -> tuple[Scalar, ...]:
    shown = f"{kind}({short(values)})"
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise DeclarationError(shown, "takes a list of values")
    if not values:
        raise DeclarationError(shown, "has no values")
    for k, value in enumerate(values):
        if value is not None and not isinstance(value, str | int | float | bool):
            raise DeclarationError(shown, f"{short(value)} is no string, number, true, false or None; give it a name")
        if isinstance(value, str) and not _written(value):
            raise DeclarationError(shown, f"{value!a} holds half a character, which no file takes")
        if isinstance(value, float) and not math.isfinite(value):
            raise DeclarationError(shown, f"{value} is no finite number")
        if any(same(value, other) for other in values[:k]):
            raise DeclarationError(shown, f"has {value!r} twice")
        alike = [other for other in values[:k] if str(other) == str(value)]
        if alike:
            raise DeclarationError(shown, f"has {alike[0]!r} and {value!r}, which look alike; give one another name")
    return tuple(values)


def _check_bounds(shown: str, low: float, high: float, log: bool) -> None:
    if not low < high:
        raise DeclarationError(shown, "the lower bound must be below the upper one")
    if log and low <= 0:
        raise DeclarationError(shown, "a logarithmic scale needs bounds above 0")


def _conditions(choice: Choice, when: Mapping[str, Any] | None) -> dict[str, tuple[Scalar, ...]]:
    found: dict[str, tuple[Scalar, ...]] = {}
    if when is not None and not isinstance(when, Mapping):
        raise DeclarationError(repr(choice), f"when={short(when)} is no mapping of names to values")
    for name, values in (when or {}).items():
        listed = tuple(values) if isinstance(values, list | tuple | range) else (values,)
        if not listed:
            raise DeclarationError(repr(choice), f"when: there is no value of {name} under which it exists")
        found[str(name)] = listed
    return found


def _number(value: object) -> object:
    """A number that YAML takes for text, such as 1e-3; everything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


_KINDS: dict[str, type[Choice]] = {"categorical": Categorical, "ordinal": Ordinal, "int": Int, "float": Float}
_OPTIONS = ("each", "when", "log")


def choice_from_json(name: str, given: object) -> Choice:
    """The choice that a mapping describes: ``{"int": [1, 4], "each": "depth", "when": {…}, "log": true}``.

    Raises `DeclarationError`, whose `where` is `name`.
    """
    if isinstance(given, Choice):
        return given
    if not isinstance(given, Mapping):
        remedy = "give one of " + ", ".join(kind.__name__ for kind in _KINDS.values())
        written = ", ".join(_KINDS)
        raise DeclarationError(name, f"{short(given)} is no choice; {remedy} (in YAML {written}) with its values")
    kinds = [key for key in given if key in _KINDS]
    unknown = [key for key in given if key not in _KINDS and key not in _OPTIONS]
    if unknown:
        raise DeclarationError(name, f"{short(unknown[0])} is unknown; known: {', '.join((*_KINDS, *_OPTIONS))}")
    if len(kinds) != 1:
        raise DeclarationError(name, f"give exactly one of {', '.join(_KINDS)}")
    kind, values = kinds[0], given[kinds[0]]
    options: dict[str, Any] = {"when": given.get("when")}
    if kind in ("int", "float"):
        if not isinstance(values, list | tuple) or len(values) != 2:
            raise DeclarationError(name, f"{kind} takes two bounds, [low, high]")
        log = given.get("log", False)
        if not isinstance(log, bool):
            raise DeclarationError(name, f"log is true or false, not {short(log)}")
        options["log"] = log
        if kind == "float":
            values = [_number(value) for value in values]
    else:
        if "log" in given:
            raise DeclarationError(name, f"log is for int and float, not for {kind}")
        values = [values]
    try:
        choice = _KINDS[kind](*values, **options)
        return choice if given.get("each") is None else choice.each(given["each"])
    except DeclarationError as error:
        raise DeclarationError(name, str(error)) from error
