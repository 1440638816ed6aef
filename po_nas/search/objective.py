"""What a search spends its budget on: an objective, and the outcome of one evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from po_nas.spaces.base import Architecture, Space

__all__ = ["Metric", "Objective", "Outcome"]


@dataclass(frozen=True, slots=True)
class Metric:
    """The quantity that a search maximises or minimises: its name, unit ("%", "", "s") and direction."""

    name: str
    unit: str = "%"
    maximize: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one evaluation: metrics and cost, or the reason of a failure.

    `metrics["validation"]` is the search signal, the only number a searcher acts on. `cost_s` is what the evaluation
    cost in seconds (recorded training time for tables, measured time for trainings).
    """

    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    cost_s: float = 0.0
    failure: str | None = None

    @classmethod
    def ok(cls, validation: float, cost_s: float = 0.0, **metrics: float) -> Outcome:
        """A finished evaluation; a search signal that is NaN or infinite makes it a failure."""
        if not math.isfinite(validation):
            return cls.failed(f"the objective returned validation = {validation}", cost_s)
        return cls(MappingProxyType({"validation": float(validation), **metrics}), float(cost_s))

    @classmethod
    def failed(cls, reason: str, cost_s: float = 0.0) -> Outcome:
        """A failed evaluation; it counts against the budget all the same."""
        return cls(MappingProxyType({}), float(cost_s), reason)

    @property
    def validation(self) -> float | None:
        """The search signal, or None for a failure."""
        return self.metrics.get("validation")


@runtime_checkable
class Objective(Protocol):
    """A benchmark task or a trainer: the one thing that knows accuracies.

    `space` is what a searcher proposes from: for a benchmark that covers a part of a space, that part. `report` is
    called by the run loop after the search has chosen, never by a method.
    """

    name: str
    space: Space
    metric: Metric

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Evaluate one architecture. `seed` seeds a training; tables that average runs ignore it."""
        ...

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """Numbers for the reader alone, such as ``{"test": 94.37}``; None where unknown."""
        ...

    def protocol(self) -> Mapping[str, Any]:
        """What must be printed with every number: feedback, split, epochs, runs averaged, pool."""
        ...
