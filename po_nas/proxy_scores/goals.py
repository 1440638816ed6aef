"""The objectives and limits of a search: which metrics they mean, and where values come from without an evaluation."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.goals import SIGNAL, Goals, Limit, Metric, read_limits
from po_nas.core.objective import LARGEST, Objective, ObjectiveWrapper, Outcome
from po_nas.core.proxy_source import ComputedProxySource, ProxySource, Watch
from po_nas.errors import ConfigError, UnknownNameError, described
from po_nas.nearest import did_you_mean
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.proxy_scores.own_networks import buildable, declared_space
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.restricted import RestrictedSpace
from proxies.registration import registry as proxies

__all__ = ["KnownMetrics", "unit_suffix", "with_goals"]

_log = logging.getLogger(__name__)

_PROBED = 5
"""Architectures of which one at least must have a metric that is known without an evaluation."""
_LISTED = 60_000
"""Architectures up to which a space with recorded metrics is gone through as a whole."""
_ALIKE = 0.8
"""A name so much like that of a metric is a misspelling, also where a function may tell metrics of any name."""
_SUFFIXES = {"millions": "m", "million": "m", "%": "percent"}
_MILLIONS = ("params", "flops")
"""Proxies that tables record in millions."""

Columns = Mapping[str, NDArray[np.float64]]


def unit_suffix(unit: str) -> str:
    """The short form of a unit, as in ``latency_ms`` or ``params_m``."""
    return _SUFFIXES.get(unit.lower(), unit.lower())


class KnownMetrics:
    """Metrics that are known without an evaluation, by name, and their values.

    Args:
        objective: Those that it knows itself, its proxies, and the networks that others are computed on.
        functions: Functions of a configuration by the name of the metric.
        samples: Size of the batch that is made up where the objective has none of its own.
    """

    def __init__(
        self, objective: Objective, functions: Mapping[str, Callable[[dict[str, Any]], float]], samples: int
    ) -> None:
        self._objective, self._functions, self._samples = objective, dict(functions), samples
        self._computed: dict[str, ComputedProxies] = {}
        self._watch: Watch | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For another process, where nobody watches."""
        return {**self.__dict__, "_watch": None}

    def watch(self, watch: Watch) -> None:
        """From now on, say what is computed."""
        self._watch = watch
        for source in self._computed.values():
            source.watch(watch)

    def names(self) -> list[str]:
        """What can be asked for, registered proxies that would have to be computed left out."""
        source = self._objective.proxies
        own = [name for name, metric in self._objective.metrics.items() if metric.known]
        return [*self._functions, *own, *(source.names if source is not None else ())]

    def find(self, name: str) -> Metric | None:
        """The metric of that name, None where there is none. Lower is better unless it says otherwise."""
        objective, source = self._objective, self._objective.proxies
        if name in self._functions:
            return Metric(name, "", maximize=False, known=True)
        if name in objective.metrics:
            return objective.metrics[name]
        if source is not None and name in source.names:
            recorded = not isinstance(source, ComputedProxySource)
            return Metric(name, "millions" if recorded and name in _MILLIONS else "", maximize=False, known=True)
        if name in proxies:
            return Metric(name, "", maximize=False, known=True)
        if self._in_millions(name):
            return Metric(name, "millions", maximize=False, known=True)
        return None

    def _in_millions(self, name: str) -> str:
        """The proxy of which a name such as ``params_m`` means millions, where networks are counted; else empty."""
        stem, space = name.removesuffix("_m"), declared_space(self._objective.space)
        metric = self.find(stem) if stem != name and stem in _MILLIONS else None
        countable = space is None or space.has_network
        return stem if metric is not None and metric.known and not metric.unit and countable else ""

    def recorded(self, names: Iterable[str]) -> bool:
        """Whether all of these are looked up, so that a whole space may be gone through."""
        source = self._objective.proxies
        looked_up = source is not None and not isinstance(source, ComputedProxySource)
        table = self._objective.recorded
        return all(
            name not in self._functions
            and ((table is not None and name in table.columns) or (looked_up and source and name in source.names))
            for name in names
        )

    def check(self, key: str, name: str, given: object) -> None:
        """Raise `ConfigError` where no sampled architecture has the metric."""
        space, rng = self._objective.space, np.random.default_rng(0)
        drawn = [space.sample(rng) for _ in range(_PROBED)]
        try:
            own = name in self._functions
            values = np.array([self._value(name, a) for a in drawn]) if own else self(drawn, [name])[name]
        except Exception as error:
            if name not in self._functions:
                raise
            raise ConfigError(key, given, f"its function raised {described(error)}") from error
        if not np.isfinite(values).any():
            source = self._computed.get(name) or self._objective.proxies
            reason = "has no finite value" if source is None else source.reasons.get(name, "has no finite value")
            raise ConfigError(key, given, f"cannot be checked: {reason}")

    def __call__(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Columns:
        """Values (n,) by name, NaN where there is none."""
        objective, source = self._objective, self._objective.proxies
        found: dict[str, NDArray[np.float64]] = {}
        own = [n for n in names if n not in self._functions and n in objective.metrics]
        if own:
            found |= objective.known(architectures, own)
        for name in names:
            if name in self._functions:
                found[name] = np.array([self._kept(name, a) for a in architectures], dtype=np.float64)
            elif name not in found and (stem := self._in_millions(name)):
                found[name] = self(architectures, [stem])[stem] / 1e6
            elif name not in found:
                have = source if source is not None and name in source.names else self._made(name)
                found[name] = np.asarray(have.raw(architectures, [name])[name], dtype=np.float64)
        return {name: np.where(np.isfinite(column), column, np.nan) for name, column in found.items()}

    def _kept(self, name: str, architecture: Architecture) -> float:
        """`_value`, NaN where the function raises: a search must not end because of one configuration."""
        try:
            return self._value(name, architecture)
        except Exception as error:
            _log.warning("known metric %r of %s has no value: %s", name, architecture, described(error))
            return math.nan

    def _value(self, name: str, architecture: Architecture) -> float:
        value = self._functions[name](self._objective.space.config_of(architecture))
        return float(value.item() if hasattr(value, "item") else value)

    def _made(self, name: str) -> ProxySource:
        """A proxy of networks that are built for it."""
        if name not in self._computed:
            space = self._objective.space
            options, batch = self._objective.example_inputs(self._samples)
            self._computed[name] = ComputedProxies(space, [name], batch, network=options)
            if self._watch is not None:
                self._computed[name].watch(self._watch)
            if declared_space(space) is not None:
                buildable(space, options)
        return self._computed[name]


class _Violations:
    """How far architectures are beyond limits on what is known of them; infinitely where `needed` is not known."""

    def __init__(self, known: KnownMetrics, goals: Goals, needed: Sequence[str]) -> None:
        self._known, self._needed = known, tuple(needed)
        self._limits = tuple(limit for limit in goals.limits if limit.metric.known)

    def __call__(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        names = dict.fromkeys([*self._needed, *(limit.metric.name for limit in self._limits)])
        columns, total = self._known(architectures, list(names)), np.zeros(len(architectures))
        for name in self._needed:
            total += np.where(np.isfinite(columns[name]), 0.0, np.inf)
        for limit in self._limits:
            total += limit.violation(columns[limit.metric.name])
        return total


class _WithGoals(ObjectiveWrapper):
    """An objective with goals, on the part of its space that keeps the limits on what is known."""

    def __init__(self, objective: Objective, goals: Goals, known: KnownMetrics, space: Space) -> None:
        super().__init__(objective)
        self._goals, self._known, self._space = goals, known, space

    def watch(self, watch: Watch) -> None:
        super().watch(watch)
        self._known.watch(watch)

    @property
    def space(self) -> Space:
        return self._space

    @property
    def goals(self) -> Goals:
        return self._goals

    @property
    def _restricted(self) -> bool:
        return self._space is not self.objective.space

    @cached_property
    def distinct(self) -> int | None:
        """The number of different evaluations in the list of the space; None where there is no list."""
        if not self._restricted:
            return self.objective.distinct
        if not isinstance(self._space, RestrictedSpace) or self._space.members is None:
            return None
        return len({self.objective.identity(architecture) for architecture in self._space.members})

    @cached_property
    def optimum_validation(self) -> tuple[float, Architecture] | None:
        """The best search signal within the limits; None where a table does not tell."""
        if not self._goals.limits:
            return self.objective.optimum_validation
        table = self.objective.recorded
        if table is None or any(limit.metric.name not in table.columns for limit in self._goals.limits):
            return None
        kept = np.isfinite(table.columns[SIGNAL])
        for limit in self._goals.limits:
            kept &= limit.violation(table.columns[limit.metric.name]) == 0.0
        rows = np.flatnonzero(kept)
        if not len(rows):
            return None
        signal = table.columns[SIGNAL][rows]
        row = int(rows[np.argmax(signal if self.metric.maximize else -signal)])
        return float(table.columns[SIGNAL][row]), table.architecture(row)

    @property
    def optimum_test(self) -> tuple[float, Architecture] | None:
        """Not known within limits."""
        return None if self._goals.limits else self.objective.optimum_test

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Columns:
        return self._known(architectures, names)

    def completed(self, architecture: Architecture, outcome: Outcome) -> Outcome:
        if outcome.failure is not None:
            return outcome
        metrics = dict(outcome.metrics)
        names = self._goals.known_names
        try:
            columns = self._known([architecture], names) if names else {}
        except Exception as error:
            _log.warning("what is known of %s could not be computed", architecture, exc_info=True)
            return Outcome.failed(f"what is known without an evaluation: {described(error)}", outcome.cost_s)
        metrics |= {name: float(column[0]) for name, column in columns.items()}
        for name in (*self._goals.measured_names, *names):
            if not math.isfinite(metrics.get(name, math.nan)):
                return Outcome.failed(f"the evaluation has no finite {name}{_hint(name, metrics)}", outcome.cost_s)
        for name in self._goals.names:
            if abs(metrics[name]) > LARGEST:
                return Outcome.failed(f"{name} = {metrics[name]:g} is beyond ±{LARGEST:g}", outcome.cost_s)
        return Outcome(metrics, outcome.cost_s)

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        outcome = self.objective.evaluate(architecture, seed=seed, fidelity=fidelity)
        return self.completed(architecture, outcome) if isinstance(outcome, Outcome) else outcome

    def protocol(self) -> Mapping[str, Any]:
        found = dict(self.objective.protocol())
        if self._goals.several:
            told = (f"{m.label} {'max' if m.maximize else 'min'}" for m in self._goals.objectives)
            found["objectives"] = ", ".join(told)
        if self._goals.limits:
            found["constraints"] = _text(self._goals.limits)
        return found


def _text(limits: Iterable[Limit]) -> str:
    return " and ".join(limit.text for limit in limits)


def with_goals(
    objective: Objective,
    objectives: Mapping[str, str],
    constraints: Mapping[str, str],
    *,
    functions: Mapping[str, Callable[[dict[str, Any]], float]] | None = None,
    samples: int = 16,
) -> Objective:
    """The same objective with other objectives than the search signal alone, and with limits.

    What is known without an evaluation is looked up, computed by a function, or computed on networks that are built,
    each architecture once; limits on it make the space smaller. Everything else an evaluation must tell: one that does
    not is a failure.

    Args:
        objective: Any.
        objectives: ``max`` or ``min`` by the name of the metric; the search signal is ``validation``.
        constraints: Limits by the name of the metric, as texts: ``{"params": "<= 3e5", "flops": "> 1e6, <= 2e7"}``.
            Those on proxies are on raw scores.
        functions: Metrics that a function of the configuration knows, by name.
        samples: Size of the batch that is made up where the objective has none of its own.

    Raises:
        UnknownNameError: For a metric that there is not.
        ConfigError: For objectives or limits that make no sense, and for metrics that no architecture has.
        InfeasibleError: When nothing keeps the limits.
    """
    known = KnownMetrics(objective, functions or {}, samples)
    found = {}
    for name, direction in objectives.items():
        metric = _metric(objective, known, f"objectives.{name}", name, direction)
        maximize = direction == "max"
        if metric.name == SIGNAL and maximize != metric.maximize:
            right = "max" if metric.maximize else "min"
            raise ConfigError(f"objectives.{name}", direction, f"the search signal of {objective.name} is {right}")
        if metric.name in found:
            raise ConfigError(f"objectives.{name}", direction, f"is {metric.name}, which is there already")
        found[metric.name] = Metric(metric.name, metric.unit, maximize, metric.known)
    if found and SIGNAL not in found:
        said = ", ".join(found)
        raise ConfigError("objectives", said, f"lack the search signal; add {SIGNAL}: max, or min")
    limits: list[Limit] = []
    for name, text in constraints.items():
        key = f"constraints.{name}"
        metric = _metric(objective, known, key, name, text)
        if any(limit.metric.name == metric.name for limit in limits):
            raise ConfigError(key, text, f"is on {metric.name}, on which there are limits; put commas between them")
        own = read_limits(metric, key, text, unit_suffix)
        goal = found.get(metric.name) or (metric if metric.name == SIGNAL else None)
        if goal is not None and all(limit.upper == goal.maximize for limit in own):
            right, sign = ("higher", ">=") if goal.maximize else ("lower", "<=")
            raise ConfigError(key, text, f"keeps out the best, since {right} is better; write {sign}, or leave it out")
        limits += own
    ordered = tuple(sorted(found.values(), key=lambda metric: metric.name != SIGNAL))
    goals = Goals(ordered if len(ordered) > 1 else (), tuple(limits))
    if not goals.several and not goals.limits:
        return objective
    for name in goals.known_names:
        key = f"objectives.{name}" if name in objectives else f"constraints.{name}"
        known.check(key, name, objectives.get(name, constraints.get(name, "")))
    return _WithGoals(objective, goals, known, _part(objective, goals, known))


def _part(objective: Objective, goals: Goals, known: KnownMetrics) -> Space:
    """The part of the space that keeps the limits on what is known, and of which all known objectives are known."""
    space, limited = objective.space, [limit for limit in goals.limits if limit.metric.known]
    names = goals.known_names
    if not names:
        return space
    listed = space.enumerable and (space.size or _LISTED + 1) <= _LISTED and known.recorded(names)
    violations = _Violations(known, goals, names)
    if not limited and not listed:
        return space
    if not limited and not np.isinf(violations(list(space.enumerate()))).any():
        return space
    unknown = "" if limited else " and ".join(f"{name} known" for name in names)
    return RestrictedSpace(space, violations, _text(limited) or unknown, listed=listed)


def _metric(objective: Objective, known: KnownMetrics, key: str, name: str, given: str) -> Metric:
    """The metric that a name means, which may have the unit at its end."""
    own = objective.metric
    if name in (SIGNAL, own.name):
        return Metric(SIGNAL, own.unit, own.maximize)
    metric = known.find(name)
    if metric is None and "_" in name:
        stem, _, unit = name.rpartition("_")
        metric = known.find(stem)
        if metric is not None and unit_suffix(metric.unit) != unit.lower():
            if objective.more_metrics:
                # A function may tell it.
                return Metric(name, "", maximize=False)
            told = f"in {metric.unit}" if metric.unit else "without a unit"
            raise ConfigError(key, given, f"{stem} is {told} here; write {stem}")
    if metric is not None:
        return metric
    space = declared_space(objective.space)
    if space is not None and name in space.choices:
        remedy = "is a choice, not a metric; for conditions between choices declare po_nas.declare(…, constraints=…)"
        raise ConfigError(key, given, remedy)
    names = dict.fromkeys([SIGNAL, *known.names()])
    if objective.more_metrics:
        misspelt = difflib.get_close_matches(name, [*names, *proxies.names()], n=1, cutoff=_ALIKE)
        if not misspelt:
            return Metric(name, "", maximize=False)
        names = dict.fromkeys([*names, *misspelt])
    raise UnknownNameError(f"metric of {objective.name}", name, names)


_MEASURED = {"latency": "latency_ms", "memory": "memory_mb"}
"""How metrics are named that are to be measured where a function of the user's might tell them."""


def _hint(name: str, told: Iterable[str]) -> str:
    """What was told instead of a metric, and what may have been meant."""
    others = tuple(sorted(other for other in told if other not in (SIGNAL, name)))
    found = f"; it told {', '.join((SIGNAL, *others))}" if others else ""
    if name in _MEASURED:
        return f"{found}; write {_MEASURED[name]} to have it measured"
    near = did_you_mean(name, others)
    return f"{found}; {near}" if near else found
