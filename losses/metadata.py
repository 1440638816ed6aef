"""What there is to know about a loss before it runs: its needs and its hyper-parameters. Pure Python, no torch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from po_nas.errors import ConfigError, PoNasError, hint
from po_nas.registry import Registry

__all__ = ["Category", "Head", "Hyperparameter", "Labels", "LossSpec", "hyperparameters_of", "resolved", "spec_of"]

Category = Literal["regression", "pairwise", "listwise", "weighted", "top-k", "schedule"]
Labels = Literal["standardized", "fraction", "order"]
Head = Literal["calibrated", "free"]

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One setting of a loss.

    Attributes:
        name: As a keyword of `get`.
        default: Its value where none is given; a numeric one makes it a number.
        meaning: What it does, in words.
        unit: Of a number.
        low: The smallest value.
        high: The largest value.
        low_open: Whether `low` itself is excluded.
        high_open: Whether `high` itself is excluded.
        choices: The words it may be.
        optional: Whether it may be None.

    Examples:
        >>> import losses
        >>> losses.Hyperparameter("margin", 0.1, "distance of a pair", low=0.0, low_open=True).allowed
        '> 0'
    """

    name: str
    default: object
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False

    @property
    def allowed(self) -> str:
        """The values it may have, in words."""
        if self.choices:
            text = ", ".join(self.choices)
        elif self.low in (None, -math.inf) and self.high is None:
            text = "any number" if self._is_number else "any"
        elif self.high is None:
            text = f"{'>' if self.low_open else '≥'} {self.low:g}"
        else:
            low = "-inf" if self.low is None else f"{self.low:g}"
            text = f"{'(' if self.low_open else '['}{low}, {self.high:g}{')' if self.high_open else ']'}"
        return f"{text} or None" if self.optional else text

    @property
    def _is_number(self) -> bool:
        bounded = self.low is not None or self.high is not None
        return bounded or (isinstance(self.default, (int, float)) and not isinstance(self.default, bool))

    def validate(self, loss: str, value: object) -> object:
        """`value` when it is allowed; `ConfigError`, which is a ValueError, with the remedy when not."""
        key = f"{loss}.{self.name}"
        if value is None and self.optional:
            return value
        if self.choices:
            if value not in self.choices:
                raise ConfigError(key, value, hint(str(value), self.choices, f"choose one of {self.allowed}"))
            return value
        if not self._is_number:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ConfigError(key, value, f"must be a number, {self.allowed}")
        below = self.low is not None and (value <= self.low if self.low_open else value < self.low)
        above = self.high is not None and (value >= self.high if self.high_open else value > self.high)
        if below or above:
            raise ConfigError(key, value, f"must be {self.allowed}{f' ({self.unit})' if self.unit else ''}")
        return value


@dataclass(frozen=True, slots=True)
class LossSpec:
    """What a trainer must know to train under a loss.

    Attributes:
        name: In the registry.
        summary: One line.
        category: ``regression``, ``pairwise``, ``listwise``, ``weighted``, ``top-k`` or ``schedule``.
        labels: Scale of the targets, always higher = better: ``standardized`` with the mean and standard deviation of
            the training set, ``fraction`` (accuracy in [0, 1]), or ``order`` (any scale that keeps the order).
        head: What the outputs mean: ``calibrated`` ones are on the scale of the labels; ``free`` ones have an arbitrary
            offset and scale, because the loss does not change when a constant is added to all of them. Standardise or
            rank these before they are averaged with other models', plotted, or fed to a Gaussian process.
        learning_rate: Where to start with AdamW.
        gradient_clip: Gradient norm to clip at; None: no clipping.
        hyperparameters: With defaults and ranges.
        reference: Title, venue, arXiv id.

    Examples:
        >>> import losses
        >>> spec = losses.spec("mse")
        >>> spec.category, spec.labels, spec.head
        ('regression', 'standardized', 'calibrated')
    """

    name: str
    summary: str
    category: Category
    labels: Labels
    head: Head
    learning_rate: float = 5e-3
    gradient_clip: float | None = 5.0
    hyperparameters: tuple[Hyperparameter, ...] = ()
    reference: str = ""

    def resolve(self, given: Mapping[str, object]) -> dict[str, Any]:
        """All hyper-parameters by name, `given` over the defaults; `ConfigError` for an unknown or forbidden one."""
        return resolved(self.name, self.hyperparameters, given)


def resolved(loss: str, hyperparameters: Sequence[Hyperparameter], given: Mapping[str, object]) -> dict[str, Any]:
    """All hyper-parameters by name, `given` over the defaults; `ConfigError` for an unknown or forbidden one."""
    known = {h.name: h for h in hyperparameters}
    for key, value in given.items():
        if key not in known:
            remedy = hint(key, known, f"{loss} has {', '.join(known) or 'none'}")
            raise ConfigError(f"{loss}.{key}", value, f"unknown hyper-parameter; {remedy}")
    return {name: h.validate(loss, given.get(name, h.default)) for name, h in known.items()}


def spec_of(registry: Registry[Any], name: str, kind: type[S], register: str) -> S:
    """What a loss of a registry is and needs; `PoNasError` for one that does not say, which `register` would do.

    Raises `UnknownNameError` with the nearest name.
    """
    entry = registry.entry(name)
    found = entry.spec
    if found is None:
        # An installed plug-in says what it is when it is imported.
        found = getattr(registry.get(name), "spec", None) or registry.entry(name).spec
    if not isinstance(found, kind):
        raise PoNasError(f"the {registry.kind} {name!r} from {entry.origin} has no spec; decorate it with {register}")
    return found


def hyperparameters_of(target: object) -> tuple[Hyperparameter, ...]:
    """The keyword-only parameters of a plain function ``(pred, target, *, …)``, as hyper-parameters without ranges."""
    found = []
    for parameter in inspect.signature(target).parameters.values() if inspect.isfunction(target) else ():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        if parameter.default is inspect.Parameter.empty:
            raise ConfigError(parameter.name, "", "needs a default: hyper-parameters of a loss are optional")
        found.append(Hyperparameter(parameter.name, parameter.default, "see the function's docstring"))
    return tuple(found)
