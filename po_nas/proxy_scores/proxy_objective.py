"""A training-free metric as the goal of a search: nothing is trained, the accuracy is only reported."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.spaces.base import Architecture, Space

__all__ = ["ProxyObjective"]


class ProxyObjective:
    """An objective whose search signal is one of its own training-free metrics, higher = better.

    `report` has the numbers of the objective underneath, and ``true_validation``, what it would have told, for the
    reader alone. Raises `ConfigError` for an objective without metrics, `UnknownNameError` for another
    metric.
    """

    def __init__(self, objective: Objective, metric: str) -> None:
        source: ProxySource | None = getattr(objective, "metrics", None)
        if source is None:
            raise ConfigError("metrics.objective", metric, f"{objective.name} has no metrics; add metrics.compute")
        if metric not in source.names:
            raise UnknownNameError(f"metric of {objective.name}", metric, source.names)
        self._objective, self._metric, self.metrics = objective, metric, source

    @property
    def name(self) -> str:
        """That of the objective underneath."""
        return self._objective.name

    @property
    def space(self) -> Space:
        """What searchers propose from."""
        return self._objective.space

    @property
    def metric(self) -> Metric:
        """The training-free metric."""
        return Metric(self._metric, "")

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """The metric of one architecture; a failure where it has none."""
        value = float(self.metrics.values([architecture], [self._metric])[0, 0])
        return Outcome.ok(value)

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """Test metric and extras, and the search signal underneath where a table tells it."""
        found = dict(self._objective.report(architecture))
        if self._objective.optimum_validation is not None:
            found["true_validation"] = self._objective.evaluate(architecture, seed=0).validation
        return found

    def identity(self, architecture: Architecture) -> Hashable:
        """What one evaluation is of."""
        return self._objective.identity(architecture)

    @property
    def distinct(self) -> int | None:
        """Number of distinct identities."""
        return self._objective.distinct

    @property
    def optimum_validation(self) -> tuple[float, Architecture] | None:
        """None: the largest value of the metric is nobody's to know."""
        return None

    @property
    def optimum_test(self) -> tuple[float, Architecture] | None:
        """Best report metric there is."""
        return self._objective.optimum_test

    def protocol(self) -> Mapping[str, Any]:
        """That of the objective underneath, with the metric as the search signal."""
        return {**self._objective.protocol(), "metric": self._metric, "unit": "", "search_signal": self._metric}
