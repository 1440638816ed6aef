"""Bounds on what costs no evaluation, such as ``params <= 300``: they restrict what a search samples and proposes."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from po_nas.core.objective import Objective, ObjectiveWrapper
from po_nas.core.proxy_source import ComputedProxySource, ProxySource
from po_nas.errors import ConfigError
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.proxy_scores.own_networks import buildable, declared_space
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.restricted import RestrictedSpace

__all__ = ["Bounds", "with_bounds"]

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_PROBED = 5
"""Architectures of which one at least must have the proxies that are bounded."""
_PART = re.compile(r"\s*(<=|>=|<|>)\s*([-+0-9._eE]+)\s*")


class Bounds:
    """Bounds by the name of a proxy, as texts: ``{"params": "<= 3e5", "flops": "> 1e6, <= 2e7"}``.

    Raises `ConfigError` for a text that is no bound.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._bounds: dict[str, list[tuple[str, float]]] = {}
        for name, text in given.items():
            self._bounds[name] = [_bound(name, str(text), part) for part in str(text).split(",")]
        self.text = " and ".join(f"{n} {c} {v:g}" for n, parts in self._bounds.items() for c, v in parts)

    @property
    def names(self) -> tuple[str, ...]:
        """The proxies that are bounded."""
        return tuple(self._bounds)

    def hold(self, scores: Mapping[str, float]) -> bool:
        """Whether raw scores are within their bounds; a missing one is not."""
        return all(
            math.isfinite(scores[name])
            and all(_COMPARISONS[comparison](scores[name], value) for comparison, value in parts)
            for name, parts in self._bounds.items()
        )


def _bound(name: str, text: str, part: str) -> tuple[str, float]:
    match = _PART.fullmatch(part)
    try:
        value = float(match[2]) if match else math.nan
    except ValueError:
        value = math.nan
    if match is None or not math.isfinite(value):
        remedy = "is no bound; write one of <=, <, >=, > and a number, several with commas: '> 100, <= 300'"
        raise ConfigError(f"constraints.{name}", text, remedy)
    return match[1], value


class _Admits:
    """Whether the scores of an architecture are within bounds."""

    def __init__(self, source: ProxySource, bounds: Bounds) -> None:
        self._source, self._bounds = source, bounds

    def __call__(self, architecture: Architecture) -> bool:
        found = self._source.raw([architecture], self._bounds.names)
        return self._bounds.hold({name: float(column[0]) for name, column in found.items()})


class _Restricted(ObjectiveWrapper):
    """An objective on a part of its space."""

    distinct = None
    optimum_validation = None
    optimum_test = None

    def __init__(self, objective: Objective, space: RestrictedSpace) -> None:
        super().__init__(objective)
        self._space = space

    @property
    def space(self) -> Space:
        return self._space

    def protocol(self) -> Mapping[str, Any]:
        return {**self.objective.protocol(), "constraints": self._space.condition}


def with_bounds(objective: Objective, given: Mapping[str, str], *, samples: int = 16) -> Objective:
    """The same objective on the architectures whose proxies are within bounds.

    Recorded scores are taken where there are some, else networks are built and scored, each architecture once.

    Args:
        objective: Any whose space has networks or recorded scores.
        given: Bounds by proxy, on raw scores; see `Bounds`.
        samples: Size of the batch that is made up where the objective has none of its own.

    Raises:
        ConfigError: For a text that is no bound, and for proxies that a network of the space does not have.
        UnknownNameError: For a proxy that there is not.
        InfeasibleError: When hardly any architecture is within the bounds.
    """
    bounds = Bounds(given)
    declared = declared_space(objective.space)
    choices = () if declared is None else declared.choices
    for name in bounds.names:
        if name in choices:
            remedy = "is a bound on a choice, not on a proxy; declare it: po_nas.declare(…, constraints=…)"
            raise ConfigError(f"constraints.{name}", given[name], remedy)
    known = objective.proxies
    source: ProxySource
    if known is not None and not isinstance(known, ComputedProxySource) and set(bounds.names) <= set(known.names):
        source = known
    else:
        options, batch = objective.example_inputs(samples)
        source = ComputedProxies(objective.space, bounds.names, batch, network=options)
        if declared_space(objective.space) is not None:
            buildable(objective.space, options)
        rng = np.random.default_rng(0)
        drawn = [objective.space.sample(rng) for _ in range(_PROBED)]
        for name, scores in source.raw(drawn, bounds.names).items():
            if not np.isfinite(scores).any():
                reason = source.reasons.get(name, "has no finite value")
                raise ConfigError(f"constraints.{name}", given[name], f"cannot be checked: {reason}")
    return _Restricted(objective, RestrictedSpace(objective.space, _Admits(source, bounds), bounds.text))
