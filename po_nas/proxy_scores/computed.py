"""Proxy scores computed on demand: networks are built and scored where nobody has recorded scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import proxies
from po_nas.core.proxy_source import Compute, ComputedProxySource
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.graph_leaves import graph_leaves
from proxies.cache import CacheKey, ScoreCache
from proxies.evolved.proxy import EvolvedProxy, find
from proxies.evolved.reference import Reference, fit

__all__ = ["ComputedProxies", "Inputs"]

Inputs = tuple[Mapping[str, Any], Any]
"""Options of the networks, and the batch that they are scored on."""


class ComputedProxies(ComputedProxySource):
    """Proxy scores of a space by building its networks.

    Scores are kept in memory and, with a `cache`, in that file, which several searches may use; what failed is NaN. Not
    to be shared by threads. Where others compute (`compute_by`), inputs and cache are theirs.

    An evolved proxy is seen against a reference of this space, network and batch: the scores of its leaves for
    `reference` architectures that are drawn from the space once (always the same).

    Args:
        space: Whose networks are built.
        names: Proxies; patterns such as ``az_*`` are expanded.
        batch: What networks are scored on, or a function that returns options and batch when they are first needed.
        network: Options of the space's networks (``{"classes": 10}``); with a function as `batch` it gives them.
        cache: A file (SQLite, local disk).
        workers: Processes that share the work.
        init_seed: Decides the initial weights, so that a score is a function of the architecture.
        seed: Seeds proxies that draw numbers.
        reference: Size of the reference of evolved proxies.
        origin: Where the scores come from; by default that is put together.

    Raises:
        UnknownNameError: For a proxy that there is not.
    """

    def __init__(
        self,
        space: Space,
        names: str | Sequence[str],
        batch: Any | Callable[[], Inputs],
        *,
        network: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
        workers: int = 1,
        init_seed: int = 0,
        seed: int = 0,
        reference: int = 64,
        origin: str | None = None,
    ) -> None:
        self._space, self._batch, self._network = space, batch, dict(network or {})
        self._specs = {spec.name: spec for spec in map(proxies.spec, proxies.expand(names))}
        self._path = None if cache is None else Path(cache)
        self._workers, self._init_seed, self._seed = workers, init_seed, seed
        self._known: dict[tuple[Architecture, str], float] = {}
        self._built: set[str] = set()
        self._compute: Compute | None = None
        self._built_elsewhere = 0
        self._size, self._origin = reference, origin
        self._evolved = {name: proxy for name in self._specs if (proxy := find(name)) is not None}
        self._references: dict[str, Reference] = {}
        self.reasons: dict[str, str] = {}
        """Why each proxy that failed somewhere did so the last time."""

    @property
    def names(self) -> tuple[str, ...]:
        """The proxies."""
        return tuple(self._specs)

    @property
    def directions(self) -> Mapping[str, int]:
        """Those that the proxies declare, 1 where they declare none; evolved proxies need no turning."""
        return {name: spec.direction or 1 for name, spec in self._specs.items()}

    @property
    def origin(self) -> str:
        """Who computes the scores, and on what."""
        if self._origin is not None:
            return self._origin
        options = "".join(f", {key}={value}" for key, value in self._network.items())
        return f"networks of {self._space.name}{options}, scored by po-nas during the search (seed {self._init_seed})"

    @property
    def computed(self) -> int:
        """Architectures for which a network was built and scored by this object; those in the cache are not."""
        return len(self._built) + self._built_elsewhere

    def compute_by(self, compute: Compute) -> None:
        """Have others compute what is not known yet."""
        self._compute = compute

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Scores (n,) by name as they come, NaN where one failed."""
        # Where others compute, they compose too.
        evolved = {name: self._evolved[name] for name in names if name in self._evolved and self._compute is None}
        leaves = [leaf for proxy in evolved.values() for leaf in proxy.proxies]
        found = self._scores(architectures, [*(name for name in names if name not in evolved), *leaves])
        return found | {name: self._composed(name, architectures, found) for name in evolved}

    def _scores(self, architectures: Sequence[Architecture], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Scores (n,) by name as they come."""
        names = tuple(dict.fromkeys(names))
        for wanted, missing in self._missing(architectures, names).items():
            self._score(missing, wanted)
        return {name: np.array([self._known[a, name] for a in architectures], dtype=np.float64) for name in names}

    def _composed(
        self, name: str, architectures: Sequence[Architecture], raw: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """An evolved proxy (n,) of n architectures from the scores of its leaves."""
        proxy = self._evolved[name]
        if name not in self._references:
            rng = np.random.default_rng(0)
            sample = [self._space.sample(rng) for _ in range(self._size)]
            columns = self._with_graph(proxy, sample, self._scores(sample, proxy.proxies))
            self._references[name] = fit(proxy.style.kind, columns, missing=proxy.style.missing)
        return proxy.values(self._with_graph(proxy, architectures, raw), self._references[name])

    def _with_graph(
        self, proxy: EvolvedProxy, architectures: Sequence[Architecture], raw: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """The columns of a proxy's leaves, features of the graph included."""
        columns = {leaf: raw[leaf] for leaf in proxy.proxies}
        if len(columns) < len(proxy.leaves):
            features = graph_leaves(self._space, architectures)
            columns |= {leaf: features[leaf] for leaf in proxy.leaves if leaf in features}
        return columns

    def _missing(
        self, architectures: Sequence[Architecture], names: Sequence[str]
    ) -> dict[tuple[str, ...], list[Architecture]]:
        """Architectures by which of their proxies are not known yet."""
        found: dict[tuple[str, ...], list[Architecture]] = {}
        for architecture in dict.fromkeys(architectures):
            wanted = tuple(name for name in names if (architecture, name) not in self._known)
            if wanted:
                found.setdefault(wanted, []).append(architecture)
        return found

    def _score(self, architectures: Sequence[Architecture], names: Sequence[str]) -> None:
        if self._compute is not None:
            found, computed = self._compute(architectures, names)
            self._built_elsewhere += computed
            for row, architecture in enumerate(architectures):
                for column, name in enumerate(names):
                    score = float(found[row, column]) * (self._specs[name].direction or 1)
                    self._known[architecture, name] = score
            return
        key = self._space.to_string
        network, batch = self._inputs
        if self._cache is None:
            self._built.update(map(key, architectures))
        results = proxies.score_many(
            architectures,
            batch,
            names,
            build=partial(self._space.build, **network),
            seed=self._seed,
            init_seed=self._init_seed,
            workers=self._workers,
            cache=self._cache,
            key=key,
            space=f"{self._space.network_identity} {json.dumps(network, sort_keys=True, default=str)}",
        )
        for result in results:
            for name in names:
                self._known[architectures[result.index], name] = result.values.get(name, np.nan)
            self.reasons |= {name: error.reason for name, error in result.errors.items()}
        if self._cache is not None:
            self._built |= self._cache.missed

    @cached_property
    def _inputs(self) -> Inputs:
        return self._batch() if callable(self._batch) else (self._network, self._batch)

    @cached_property
    def _cache(self) -> _WatchedCache | None:
        if self._path is None:
            return None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return _WatchedCache(self._path)

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
