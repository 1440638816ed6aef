"""An objective that is a function of the configurations of a declared space."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.errors import PoNasError
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = ["FunctionObjective"]


class FunctionObjective(Objective):
    """What a function returns for a configuration: a number, higher or lower = better as `metric` says.

    The cost of an evaluation is the time that it took. What the function raises is the reason of a failed trial.

    Args:
        space: Where the configurations are from.
        function: Called with the configuration, a dict of its own; returns a number or an `Outcome`.
        metric: What the number is; default: a value to be maximised.
        name: As printed; default: the names of the space and of the function.
    """

    def __init__(
        self,
        space: DeclaredSpace,
        function: Callable[[dict[str, Any]], float | Outcome],
        *,
        metric: Metric | None = None,
        name: str | None = None,
    ) -> None:
        self._space, self._function = space, function
        self._metric = metric or Metric("value", "")
        self._name = name or f"{space.name}/{getattr(function, '__name__', type(function).__name__)}"

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def space(self) -> DeclaredSpace:
        """The declared space."""
        return self._space

    @property
    def metric(self) -> Metric:
        """The metric."""
        return self._metric

    @property
    def distinct(self) -> int | None:
        """The size of the space, where it is known."""
        return self._space.size

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        """Call the function; `seed` and `fidelity` change nothing."""
        started = time.perf_counter()
        value = self._function(self._space.config_of(architecture))
        if isinstance(value, Outcome):
            return value
        cost_s = time.perf_counter() - started
        item = getattr(value, "item", None)
        value = item() if callable(item) else value
        if isinstance(value, bool) or not isinstance(value, Real):
            raise PoNasError(f"{self._name} returned {type(value).__name__}; return a number")
        return Outcome.ok(float(value), cost_s)

    def protocol(self) -> Mapping[str, Any]:
        """The function."""
        return {"objective": self._name}
