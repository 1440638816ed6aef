"""Metrics of a toy, and searches that are told them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from po_nas import methods
from po_nas.core.proxy_source import ProxySource
from po_nas.core.searcher import Domain, SharedCache
from po_nas.core.trial import SourceTask
from po_nas.testing import SearcherConformance, ToyObjective

OTHER: dict[str, SourceTask] = {}
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
            source_tasks=(other_task(space, 16),) if kind.needs_other_tasks else (),
        )
        return kind(domain, seed=seed, options=kind.Options(**self.options))


def other_task(space, number=60, task="other/task", sign=1.0):
    """Evaluations of another task: random architectures, scored by the first and the last metric of the toy."""
    rng = np.random.default_rng(5)
    drawn = {space.to_string(a): a for a in (space.sample(rng) for _ in range(number))}
    told = tuple(drawn.values())
    values = ToyMetrics(space).raw(told, ())
    return SourceTask(task, told, tuple((sign * (values["m0"] - values["m2"])).tolist()))


def with_metrics(name, space, source, /, *, seed=0, budget=50, identity=None, tasks=None, **options):
    """A search told some metrics, and another task where it needs one."""
    kind = methods.registry.get(name)
    if tasks is None:
        tasks = (OTHER.setdefault(space.name, other_task(space)),) if kind.needs_other_tasks else ()
    domain = Domain(
        space, identity or space.to_string, True, budget, proxies=source, cache=CACHE, source_tasks=tuple(tasks)
    )
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
