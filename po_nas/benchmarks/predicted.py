"""Benchmarks whose search signal is predicted for every architecture of a space, where tables know some of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.base import Described, Description, Feedback
from po_nas.core.objective import Metric, Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture, Space

__all__ = ["PredictedBenchmark"]

_REPORT = "none: there is nothing beside the prediction"


class PredictedBenchmark(Described):
    """A whole space with a predicted search signal, and with sizes that are known without an evaluation.

    A subclass has `signal` and `size`, which say a value (n,) of n architectures.

    Attributes:
        name: ``family/task``, as printed.
        space: The whole space.
        metric: The search signal.
        feedback: Where it comes from.
        units: Names and units of the sizes, of which less is better.
        distinct: Number of architectures of the space.
        proxies: The sizes that `by_formula` names, of which more is expected to be better.
    """

    name: str
    space: Space
    metric: Metric
    metrics: Mapping[str, Metric]
    proxies: ProxySource
    distinct: int | None
    costs_known = False
    by_formula: tuple[str, ...]
    """The sizes that follow from formulas."""
    formulas: str
    """Whose formulas."""
    reference: str
    notes: tuple[str, ...]

    def __init__(self, name: str, space: Space, metric: Metric, feedback: Feedback, units: Mapping[str, str]) -> None:
        self.name, self.space, self.metric, self.feedback, self.units = name, space, metric, feedback, units
        self.distinct = space.size
        self.metrics = {size: Metric(size, unit, maximize=False, known=True) for size, unit in units.items()}
        self.proxies = _Sizes(self)

    @abstractmethod
    def signal(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """The search signal (n,) of n architectures."""

    @abstractmethod
    def size(self, name: str, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """One of `units` (n,) of n architectures."""

    def evaluate(self, architecture: Architecture, *, seed: int = 0, fidelity: float | None = None) -> Outcome:
        """The prediction; `seed` is not used, and there is one fidelity."""
        self.space.validate(architecture)
        return Outcome.ok(float(self.signal([architecture])[0]))

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Values (n,) of some of `units` of n architectures, by name; `UnknownNameError` for another name."""
        for name in names:
            if name not in self.units:
                raise UnknownNameError(f"quantity of {self.name}", name, self.units)
        return {name: self.size(name, architectures) for name in names}

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """No test value, and `units`."""
        self.space.validate(architecture)
        found = self.known([architecture], tuple(self.units))
        return {"test": None} | {name: float(values[0]) for name, values in found.items()}

    def protocol(self) -> Mapping[str, Any]:
        """Feedback, pool and direction."""
        return {
            "benchmark": self.name,
            **self.feedback.protocol(),
            "report": _REPORT,
            "pool": "the whole space",
            "pool_size": self.distinct,
        }

    def describe(self) -> Description:
        """Everything there is to say about the task."""
        return Description(
            name=self.name,
            space=self.space.name,
            metric=self.metric,
            feedback=self.feedback,
            report=_REPORT,
            architectures=self.distinct or 0,
            pool="the whole space",
            optimum_validation=None,
            optimum_test=None,
            ceiling_test=None,
            ceiling_test_rank=None,
            spearman=None,
            spearman_top_tenth=None,
            cost="unknown",
            reference=self.reference,
            notes=self.notes,
            extras=tuple(self.units.items()),
        )


class _Sizes(ProxySource):
    """Sizes that follow from formulas."""

    def __init__(self, benchmark: PredictedBenchmark) -> None:
        self._benchmark = benchmark

    @property
    def names(self) -> tuple[str, ...]:
        return self._benchmark.by_formula

    @property
    def origin(self) -> str:
        return f"formulas of {self._benchmark.formulas}"

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        return self._benchmark.known(architectures, names)
