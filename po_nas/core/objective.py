"""What a search spends its budget on: an objective, and the outcome of one evaluation."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
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

    metrics: Mapping[str, float] = field(default_factory=dict)
    cost_s: float = 0.0
    failure: str | None = None

    @classmethod
    def ok(cls, validation: float, cost_s: float = 0.0, **metrics: float) -> Outcome:
        """A finished evaluation.

        A search signal or cost that is NaN or infinite makes it a failure; other metrics that are not finite are left
        out, for a journal holds numbers.
        """
        if not (math.isfinite(cost_s) and cost_s >= 0):
            return cls.failed(f"the objective returned cost_s = {cost_s}")
        if not math.isfinite(validation):
            return cls.failed(f"the objective returned validation = {validation}", cost_s)
        kept = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        return cls({"validation": float(validation), **kept}, float(cost_s))

    @classmethod
    def failed(cls, reason: str, cost_s: float = 0.0) -> Outcome:
        """A failed evaluation; it counts against the budget all the same. An impossible cost counts as none."""
        # A lone surrogate, which no file or terminal takes, is spelt out.
        text = str(reason).encode("utf-8", "backslashreplace").decode("utf-8")
        return cls({}, float(cost_s) if math.isfinite(cost_s) and cost_s >= 0 else 0.0, text)

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

    @property
    def name(self) -> str:
        """``family/task``, as printed."""
        ...

    @property
    def space(self) -> Space:
        """What searchers propose from."""
        ...

    @property
    def metric(self) -> Metric:
        """What is optimised."""
        ...

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Evaluate one architecture. `seed` seeds a training; tables that average runs ignore it."""
        ...

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """Numbers for the reader alone, such as ``{"test": 94.37}``; None where unknown."""
        ...

    def identity(self, architecture: Architecture) -> Hashable:
        """What one evaluation is of; searchers never spend two evaluations on one identity.

        A trainer returns `Space.canonical`; a table its row, because cells of one function may have been trained, and
        recorded, separately.
        """
        ...

    @property
    def distinct(self) -> int | None:
        """Number of distinct identities, None when there is no end of them."""
        ...

    @property
    def optimum_validation(self) -> tuple[float, Architecture] | None:
        """Best search signal there is, None where nobody knows."""
        ...

    @property
    def optimum_test(self) -> tuple[float, Architecture] | None:
        """Best report metric there is, None where nobody knows."""
        ...

    def protocol(self) -> Mapping[str, Any]:
        """What must be printed with every number: feedback, split, epochs, runs averaged, pool."""
        ...
