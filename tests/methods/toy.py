"""Metrics of a toy, and searches that are told them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from po_nas import methods
from po_nas.core.proxy_source import ProxySource
from po_nas.core.searcher import Domain, SharedCache
from po_nas.testing import SearcherConformance, ToyObjective

CACHE = SharedCache()
"""What all searches of the tests share, as those of a comparison do."""


@dataclass(eq=False)
class ToyMetrics(ProxySource):
    """Random linear functions of an architecture's vector encoding; every `gap`-th one asked for has no ``m0``."""

    space: Any
    names: tuple[str, ...] = ("m0", "m1", "m2")
    gap: int | None = None
    origin: str = "a toy"
    computed: int = 0
    asked: list[int] = field(default_factory=list)

    def raw(self, architectures, names):
        self.asked.append(len(architectures))
        weights = np.random.default_rng(1).normal(size=(self.space.vector_size, len(self.names)))
        vectors = np.array([self.space.encode_vector(a) for a in architectures])
        found = dict(zip(self.names, (vectors @ weights).T.copy(), strict=True))
        if self.gap:
            found["m0"][:: self.gap] = np.nan
        return found


class MetricConformance(SearcherConformance):
    """The kit, with metrics."""

    names = ("m0", "m1", "m2")

    def searcher(self, objective: ToyObjective, seed: int):
        kind = methods.registry.get(self.method)
        space = objective.space
        source = ToyMetrics(space, self.names, gap=7)
        domain = Domain(
            *(space, objective.identity, objective.metric.maximize, self.budget),
            proxies=source,
            goals=objective.goals,
            known=objective.known,
            fidelities=objective.fidelities,
        )
        return kind(domain, seed=seed, options=kind.Options(**self.options))


def with_metrics(name, space, source, /, *, seed=0, budget=50, identity=None, **options):
    """A search told some metrics."""
    kind = methods.registry.get(name)
    domain = Domain(space, identity or space.to_string, True, budget, proxies=source, cache=CACHE)
    return kind(domain, seed=seed, options=kind.Options(**options))


def drive(method, value, n):
    """Run a search on a function of an architecture; the trials."""
    from po_nas.core.objective import Outcome

    trials = []
    for _ in range(n):
        (trial,) = method.ask()
        found = value(trial.architecture)
        method.tell(trial.number, Outcome.failed("none") if found is None else Outcome.ok(float(found)))
        trials.append(trial)
    return trials
