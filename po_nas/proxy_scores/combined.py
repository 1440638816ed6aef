"""Several sources of proxy scores as one; objectives that are given further ones, or have one as their goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.fidelities import Fidelities
from po_nas.core.objective import Metric, Objective, ObjectiveWrapper, Outcome
from po_nas.core.proxy_source import Compute, ComputedProxySource, ProxySource, Watch
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.spaces.base import Architecture

__all__ = ["CombinedProxies", "ProxyObjective", "with_computed_proxies", "with_proxies"]


class CombinedProxies(ComputedProxySource):
    """Two sources as one; where both have a proxy, the first is asked."""

    def __init__(self, first: ProxySource, second: ProxySource) -> None:
        self._first, self._second = first, second

    def compute_by(self, compute: Compute) -> None:
        for source in self._computed_ones():
            source.compute_by(compute)

    def keep_in(self, path: str) -> None:
        for source in self._computed_ones():
            source.keep_in(path)

    def watch(self, watch: Watch) -> None:
        for source in self._computed_ones():
            source.watch(watch)

    def _computed_ones(self) -> list[ComputedProxySource]:
        return [source for source in (self._first, self._second) if isinstance(source, ComputedProxySource)]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._first.names, *self._second.names)))

    @property
    def origin(self) -> str:
        return f"{self._first.origin}; {', '.join(self._second.names)}: {self._second.origin}"

    @property
    def directions(self) -> Mapping[str, int]:
        return {**self._second.directions, **dict.fromkeys(self._first.names, 1), **self._first.directions}

    @property
    def reasons(self) -> Mapping[str, str]:
        return {**self._second.reasons, **self._first.reasons}

    @property
    def further(self) -> frozenset[str]:
        """Those of the two, without what the other has for all searches."""
        first, second = self._first, self._second
        return first.further.difference(second.names) | second.further.difference(first.names)

    @property
    def computed(self) -> int:
        return self._first.computed + self._second.computed

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        theirs = [name for name in names if name in self._first.names]
        others = [name for name in names if name not in theirs]
        found: dict[str, NDArray[np.float64]] = {}
        for source, wanted in ((self._first, theirs), (self._second, others)):
            if wanted:
                found |= source.raw(architectures, wanted)
        return found


class _WithProxies(ObjectiveWrapper):
    """An objective whose proxy scores come from somewhere else."""

    def __init__(self, objective: Objective, source: ProxySource) -> None:
        super().__init__(objective)
        self._source = source

    @property
    def proxies(self) -> ProxySource:
        return self._source

    def protocol(self) -> Mapping[str, Any]:
        return {**self.objective.protocol(), "proxies": self._source.origin}


def with_proxies(objective: Objective, source: ProxySource) -> Objective:
    """The same objective with other `proxies`."""
    return _WithProxies(objective, source)


def with_computed_proxies(
    objective: Objective,
    names: str | Sequence[str],
    batch: Any = None,
    *,
    network: Mapping[str, Any] | None = None,
    samples: int = 16,
    cache: str | Path | None = None,
    workers: int = 1,
    init_seed: int = 0,
    seed: int = 0,
) -> Objective:
    """The same objective with proxy scores computed on demand beside those that it has.

    A score of the same name as one that it has is computed all the same and asked for first. Hand the objective to
    ``po_nas.search(benchmark=…)``: methods that need proxy scores then run on it.

    Args:
        objective: Any objective whose space has networks.
        names: Proxies or patterns.
        batch: What networks are scored on; None (default) asks `Objective.example_inputs`, which also knows the options
            of the network.
        network: Options of the space's networks, for a `batch` of your own.
        samples: Size of the batch that is made up where none is given; objectives that train have images of their own.
        cache: A file in which scores are kept; default: none.
        workers: Processes that score; 1 is this process.
        init_seed: Of the weights of the networks.
        seed: Of the scoring.

    Returns:
        The objective with `proxies`.

    Raises:
        UnknownNameError: For a proxy that there is not.
        ConfigError: For a space without networks.

    Examples:
        >>> import po_nas
        >>> table = po_nas.benchmarks.get("nasbench201/cifar10")
        >>> objective = po_nas.with_computed_proxies(table, ["params", "synflow"])
        >>> "synflow" in objective.proxies.names
        True
    """
    if batch is None:
        try:
            told, batch = objective.example_inputs(samples)
        except UnknownNameError as error:
            raise ConfigError(
                "proxies.compute", objective.space.name, "has no networks that could be scored"
            ) from error
        network = {**told, **(network or {})}
    source: ProxySource = ComputedProxies(
        objective.space, names, batch, network=network, cache=cache, workers=workers, init_seed=init_seed, seed=seed
    )
    if objective.proxies is not None:
        source = CombinedProxies(source, objective.proxies)
    return with_proxies(objective, source)


class ProxyObjective(ObjectiveWrapper):
    """An objective whose search signal is one of its own proxy scores, higher = better.

    `report` has the numbers of the objective underneath, and ``true_validation``, what it would have told, for the
    reader alone. Raises `ConfigError` for an objective without proxy scores, `UnknownNameError` for another proxy.
    """

    optimum_validation = None
    """Unknown: the largest score need not be recorded."""
    validation = None
    costs_known = False
    fidelities = Fidelities()

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
