"""A proxy as the goal of a search: nothing is trained, the accuracy is only reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from po_nas.core.objective import Metric, Objective, ObjectiveWrapper, Outcome
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.spaces.base import Architecture

__all__ = ["ProxyObjective"]


class ProxyObjective(ObjectiveWrapper):
    """An objective whose search signal is one of its own proxy scores, higher = better.

    `report` has the numbers of the objective underneath, and ``true_validation``, what it would have told, for the
    reader alone. Raises `ConfigError` for an objective without proxy scores, `UnknownNameError` for another proxy.
    """

    optimum_validation = None
    """Unknown: the largest score need not be recorded."""
    validation = None
    costs_known = False
    fidelities = ()

    def __init__(self, objective: Objective, proxy: str) -> None:
        super().__init__(objective)
        source = objective.proxies
        if source is None:
            raise ConfigError("proxies.objective", proxy, f"{objective.name} has no proxy scores; add proxies.compute")
        if proxy not in source.names:
            raise UnknownNameError(f"proxy score of {objective.name}", proxy, source.names)
        self._proxy, self._source = proxy, source

    @property
    def metric(self) -> Metric:
        return Metric(self._proxy, "")

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        return Outcome.ok(float(self._source.values([architecture], [self._proxy])[0, 0]))

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """Test metric and extras, and the search signal underneath where a table tells it."""
        found = dict(self.objective.report(architecture))
        if self.objective.optimum_validation is not None:
            found["true_validation"] = self.objective.evaluate(architecture, seed=0).validation
        return found

    def protocol(self) -> Mapping[str, Any]:
        return {**self.objective.protocol(), "metric": self._proxy, "unit": "", "search_signal": self._proxy}
