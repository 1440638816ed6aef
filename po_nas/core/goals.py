"""What a search is for: the metrics that it optimises, and the limits that others must keep."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import ConfigError

__all__ = ["SIGNAL", "Goals", "Limit", "Metric", "read_limits"]

SIGNAL = "validation"
"""The name of the search signal among the metrics of an outcome."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A quantity of an architecture.

    Attributes:
        name: As printed.
        unit: ``"%"``, ``"s"``, ``"ms"``, …; empty for a number without a unit.
        maximize: Whether higher is better.
        known: Whether it is known before an evaluation, and so costs no budget: a number of parameters, a recorded
            latency, a proxy score.

    Examples:
        >>> import po_nas
        >>> po_nas.Metric("latency", "ms", maximize=False).label
        'latency (ms)'
    """

    name: str
    unit: str = "%"
    maximize: bool = True
    known: bool = False

    @property
    def label(self) -> str:
        """The name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def sign(self) -> float:
        """What turns a value into a loss, lower = better: 1, or −1 where higher is better."""
        return -1.0 if self.maximize else 1.0


_TINY = 1e-9
"""Violation of a strict limit by a value that equals it."""
_PART = re.compile(r"\s*(<=|>=|<|>)\s*([-+0-9._eE]+)\s*([^\s,]*)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that a metric must keep: one of <=, <, >=, > and a value, in the unit of the metric."""

    metric: Metric
    comparison: str
    value: float

    holds: ClassVar[Mapping[str, Callable[[Any, Any], Any]]] = {
        "<=": operator.le,
        ">=": operator.ge,
        "<": operator.lt,
        ">": operator.gt,
    }

    @property
    def text(self) -> str:
        """As printed."""
        return f"{self.metric.name} {self.comparison} {self.value:g}"

    @property
    def upper(self) -> bool:
        """Whether values must be below it."""
        return self.comparison[0] == "<"

    @property
    def strict(self) -> bool:
        """Whether the value itself is beyond it."""
        return len(self.comparison) == 1

    @property
    def scale(self) -> float:
        """By what violations are divided, so that those of different metrics can be added."""
        return abs(self.value) or 1.0

    def violation(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far values (n,) are beyond the limit, in shares of it: 0 where they keep it, infinite where unknown."""
        beyond = (values - self.value if self.upper else self.value - values) / self.scale
        found = np.where(self.holds[self.comparison](values, self.value), 0.0, np.maximum(beyond, _TINY))
        return np.where(np.isfinite(values), found, np.inf)


def read_limits(metric: Metric, key: str, text: str, suffix: Callable[[str], str]) -> tuple[Limit, ...]:
    """The limits in a text such as ``"> 100, <= 300"``, or ``"<= 5 ms"``.

    Args:
        metric: What is limited.
        key: For messages.
        text: One limit or several.
        suffix: The short form of a unit.

    Raises `ConfigError` for a text that is no limit, for another unit than that of the metric, and for limits that
    nothing can keep.
    """
    found = tuple(_limit(metric, key, text, part, suffix) for part in text.split(","))
    # The tightest on either side; of equal values the one that the value itself does not keep.
    lower, upper = ([limit for limit in found if limit.upper is side] for side in (False, True))
    low = max(lower, key=lambda limit: (limit.value, limit.strict), default=None)
    high = min(upper, key=lambda limit: (limit.value, not limit.strict), default=None)
    if low and high and (low.value > high.value or (low.value == high.value and (low.strict or high.strict))):
        raise ConfigError(key, text, f"no value is {low.comparison} {low.value:g} and {high.comparison} {high.value:g}")
    return found


def _limit(metric: Metric, key: str, text: str, part: str, suffix: Callable[[str], str]) -> Limit:
    match = _PART.fullmatch(part)
    try:
        value = float(match[2]) if match else math.nan
    except ValueError:
        value = math.nan
    if match is None or not math.isfinite(value):
        remedy = "is no limit; write one of <=, <, >=, > and a number, several with commas: '> 100, <= 300'"
        raise ConfigError(key, text, remedy)
    if match[3] and match[3] != metric.unit and suffix(match[3]) != suffix(metric.unit):
        told = f"in {metric.unit}" if metric.unit else "without a unit"
        raise ConfigError(key, text, f"{metric.name} is {told}; write {match[1]} and the number {told}")
    return Limit(metric, match[1], value)


@dataclass(frozen=True)
class Goals:
    """The objectives and limits of a search; without any, the search signal is what is optimised.

    Attributes:
        objectives: Metrics that are optimised, k of them; the search signal first.
        limits: Limits on metrics. Those on metrics that are known restrict the space, so that no method proposes what
            breaks one; the others are found out by evaluating.
    """

    objectives: tuple[Metric, ...] = ()
    limits: tuple[Limit, ...] = ()

    @property
    def several(self) -> bool:
        """Whether there is more than one objective."""
        return len(self.objectives) > 1

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives (k) by name."""
        return tuple(metric.name for metric in self.objectives)

    @property
    def known_names(self) -> tuple[str, ...]:
        """Objectives and limited metrics that are known without an evaluation."""
        return tuple(metric.name for metric in self._metrics if metric.known)

    @property
    def measured_names(self) -> tuple[str, ...]:
        """Objectives and limited metrics that an evaluation must tell."""
        return tuple(metric.name for metric in self._metrics if not metric.known)

    @property
    def measured_limits(self) -> tuple[Limit, ...]:
        """Limits on what only an evaluation tells."""
        return tuple(limit for limit in self.limits if not limit.metric.known)

    @property
    def _metrics(self) -> tuple[Metric, ...]:
        found = {metric.name: metric for metric in (*self.objectives, *(limit.metric for limit in self.limits))}
        return tuple(found.values())

    def losses(self, outcomes: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Values (n, k) of the objectives in the metrics of n outcomes, turned so that lower is better."""
        rows = [[metric.sign * outcome[metric.name] for metric in self.objectives] for outcome in outcomes]
        return np.array(rows, dtype=np.float64).reshape(len(outcomes), len(self.objectives))

    def violations(self, outcomes: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """How far the metrics (n,) of n outcomes are beyond the limits, added up; 0 where all are kept."""
        total = np.zeros(len(outcomes))
        for limit in self.limits:
            total += limit.violation(np.array([float(outcome.get(limit.metric.name, np.nan)) for outcome in outcomes]))
        return total

    def feasible(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metrics of an outcome keep all limits."""
        return not self.limits or bool(self.violations([metrics])[0] == 0.0)
