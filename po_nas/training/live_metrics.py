"""Training-free metrics computed on demand: networks are built and scored where nobody has recorded scores."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import proxies
from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.core.proxy_source import Compute, ProxySource
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.graph_leaves import graph_leaves
from proxies.cache import CacheKey, ScoreCache
from proxies.evolved.metric import EvolvedMetric, find
from proxies.evolved.reference import Reference, fit

__all__ = ["LiveMetrics", "with_live_metrics", "with_metrics"]


class LiveMetrics:
    """Metrics of a space by building its networks; implements `po_nas.core.proxy_source.ProxySource`.

    `names` are proxies (patterns such as ``az_*`` are expanded), `batch` is what they are scored on, `network` are
    options of the space's networks (``{"classes": 10}``). Networks are initialised by `init_seed` and scored by `seed`,
    so a score is a function of the architecture. With `workers` > 1 processes share the work. Scores are kept in memory
    and, with a `cache`, in that file (SQLite, local disk), which several searches may use; what failed is NaN. Not to
    be shared by threads. Implements `ComputedProxySource`: where others compute, the cache is theirs.

    An evolved metric is seen against a reference of this space, network and batch: the scores of its leaves for
    `reference` architectures that are drawn from the space once (always the same).

    Raises `UnknownNameError` for a proxy that there is not.
    """

    def __init__(
        self,
        space: Space,
        names: str | Sequence[str],
        batch: Any,
        *,
        network: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
        workers: int = 1,
        init_seed: int = 0,
        seed: int = 0,
        reference: int = 64,
    ) -> None:
        self._space, self._batch, self._network = space, batch, dict(network or {})
        self._specs = {spec.name: spec for spec in map(proxies.spec, proxies.expand(names))}
        self._path = None if cache is None else Path(cache)
        self._workers, self._init_seed, self._seed = workers, init_seed, seed
        self._known: dict[tuple[Architecture, str], float] = {}
        self._computed: set[str] = set()
        self._compute: Compute | None = None
        self._computed_elsewhere = 0
        self._size = reference
        self._evolved = {name: metric for name in self._specs if (metric := find(name)) is not None}
        self._references: dict[str, Reference] = {}
        self.reasons: dict[str, str] = {}
        """Why each metric that failed somewhere did so the last time."""

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that can be asked for."""
        return tuple(self._specs)

    @property
    def signs(self) -> NDArray[np.float64]:
        """What turns each score so that higher is expected to be better, (k,)."""
        return np.array([spec.direction or 1 for spec in self._specs.values()], dtype=np.float64)

    @property
    def origin(self) -> str:
        """Who computes the scores, and on what."""
        options = "".join(f", {key}={value}" for key, value in self._network.items())
        return f"networks of {self._space.name}{options}, scored by po-nas during the search (seed {self._init_seed})"

    @property
    def computed(self) -> int:
        """Architectures for which a network was built and scored by this object; those in the cache are not."""
        return len(self._computed) + self._computed_elsewhere

    def compute_by(self, compute: Compute) -> None:
        """Have others compute what is not known yet."""
        self._compute = compute

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Metrics (n, k), higher = expected to be better, NaN where it failed."""
        for name in names:
            if name not in self._specs:
                raise UnknownNameError(f"metric of {self._space.name}", name, self._specs)
        # Where others compute, they compose too.
        evolved = {name: self._evolved[name] for name in names if name in self._evolved and self._compute is None}
        leaves = [leaf for metric in evolved.values() for leaf in metric.proxies]
        raw = self._raw(architectures, [*(name for name in names if name not in evolved), *leaves])
        found = np.empty((len(architectures), len(names)))
        for place, name in enumerate(names):
            if name in evolved:
                found[:, place] = self._composed(name, architectures, raw)
            else:
                found[:, place] = raw[name] * (self._specs[name].direction or 1)
        return found

    def _raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Scores (n,) by name as they come."""
        names = tuple(dict.fromkeys(names))
        for wanted, missing in self._missing(architectures, names).items():
            self._score(missing, wanted)
        return {name: np.array([self._known[a, name] for a in architectures], dtype=np.float64) for name in names}

    def _composed(
        self, name: str, architectures: Sequence[Architecture], raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """An evolved metric (n,) of n architectures from the scores of its leaves."""
        metric = self._evolved[name]
        if name not in self._references:
            rng = np.random.default_rng(0)
            sample = [self._space.sample(rng) for _ in range(self._size)]
            columns = self._with_graph(metric, sample, self._raw(sample, metric.proxies))
            self._references[name] = fit(metric.style.kind, columns, missing=metric.style.missing)
        return metric.values(self._with_graph(metric, architectures, raw), self._references[name])

    def _with_graph(
        self, metric: EvolvedMetric, architectures: Sequence[Architecture], raw: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """The columns of a metric's leaves, features of the graph included."""
        columns = {leaf: raw[leaf] for leaf in metric.proxies}
        if len(columns) < len(metric.leaves):
            features = graph_leaves(self._space, architectures)
            columns |= {leaf: features[leaf] for leaf in metric.leaves if leaf in features}
        return columns

    def _missing(
        self, architectures: Sequence[Architecture], names: Sequence[str]
    ) -> dict[tuple[str, ...], list[Architecture]]:
        """Architectures by which of their metrics are not known yet."""
        found: dict[tuple[str, ...], list[Architecture]] = {}
        for architecture in dict.fromkeys(architectures):
            wanted = tuple(name for name in names if (architecture, name) not in self._known)
            if wanted:
                found.setdefault(wanted, []).append(architecture)
        return found

    def _score(self, architectures: Sequence[Architecture], names: Sequence[str]) -> None:
        if self._compute is not None:
            found, computed = self._compute(architectures, names)
            self._computed_elsewhere += computed
            for row, architecture in enumerate(architectures):
                for column, name in enumerate(names):
                    score = float(found[row, column]) * (self._specs[name].direction or 1)
                    self._known[architecture, name] = score
            return
        key = self._space.to_string
        if self._cache is None:
            self._computed.update(map(key, architectures))
        results = proxies.score_many(
            architectures,
            self._batch,
            names,
            build=partial(self._space.build, **self._network),
            seed=self._seed,
            init_seed=self._init_seed,
            workers=self._workers,
            cache=self._cache,
            key=key,
            space=f"{self._space.name} {json.dumps(self._network, sort_keys=True, default=str)}",
        )
        for result in results:
            for name in names:
                self._known[architectures[result.index], name] = result.values.get(name, np.nan)
            self.reasons |= {name: error.reason for name, error in result.errors.items()}
        if self._cache is not None:
            self._computed |= self._cache.missed

    @cached_property
    def _cache(self) -> _WatchedCache | None:
        return None if self._path is None else _WatchedCache(self._path)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file, which the copy in another process opens itself, and computing there."""
        return {**{key: value for key, value in self.__dict__.items() if key != "_cache"}, "_compute": None}


class _WatchedCache(ScoreCache):
    """A cache that remembers which architectures it was asked for in vain."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.missed: set[str] = set()

    def get(self, key: CacheKey) -> float | None:
        found = super().get(key)
        if found is None:
            self.missed.add(key.architecture)
        return found


class _Measured:
    """An objective whose metrics come from elsewhere."""

    def __init__(self, objective: Objective, metrics: ProxySource) -> None:
        self._objective, self.metrics = objective, metrics

    @property
    def name(self) -> str:
        return self._objective.name

    @property
    def space(self) -> Space:
        return self._objective.space

    @property
    def metric(self) -> Metric:
        return self._objective.metric

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        return self._objective.evaluate(architecture, seed=seed, fidelity=fidelity)

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        return self._objective.report(architecture)

    def identity(self, architecture: Architecture) -> Hashable:
        return self._objective.identity(architecture)

    @property
    def distinct(self) -> int | None:
        return self._objective.distinct

    @property
    def validation(self) -> NDArray[np.float64] | None:
        """The search signal of every row, where there is a table."""
        return getattr(self._objective, "validation", None)

    @property
    def optimum_validation(self) -> tuple[float, Architecture] | None:
        return self._objective.optimum_validation

    @property
    def optimum_test(self) -> tuple[float, Architecture] | None:
        return self._objective.optimum_test

    def protocol(self) -> Mapping[str, Any]:
        return {**self._objective.protocol(), "metrics": self.metrics.origin}


def with_metrics(objective: Objective, metrics: ProxySource) -> Objective:
    """The same objective with other `metrics`."""
    return _Measured(objective, metrics)


def with_live_metrics(
    objective: Objective,
    names: str | Sequence[str],
    batch: Any,
    *,
    network: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
    workers: int = 1,
    init_seed: int = 0,
    seed: int = 0,
) -> Objective:
    """The same objective, with `LiveMetrics` of its space as its `metrics`; the arguments are those.

    Hand it to `po_nas.search(benchmark=…)`: methods that need metrics then run on it.
    """
    metrics = LiveMetrics(
        objective.space, names, batch, network=network, cache=cache, workers=workers, init_seed=init_seed, seed=seed
    )
    return _Measured(objective, metrics)
