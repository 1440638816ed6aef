"""The candidates of a search as a list, one architecture per identity, and their training-free metrics."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from po_nas.core.proxy_source import ProxySource
from po_nas.core.searcher import Domain
from po_nas.errors import MetricsUnavailableError, UnknownNameError
from po_nas.methods.transferred import PREFIX, with_transferred
from po_nas.spaces.base import Architecture, Space
from proxies.proxy_spec import ProxySpec
from proxies.registration import registry
from surrogates.encodings import Encodings

__all__ = ["POOL_OPTION", "Candidates", "Identity", "MetricPool", "candidates", "metric_pool", "require_metrics"]

POOL_OPTION = (
    "number of candidates, drawn once from the seed; default: the whole space up to 60,000 architectures, else 10,000, "
    "or 1,000 where the space cannot be enumerated and metrics are computed by building networks"
)
"""What the option `pool` of a method means."""

_ENUMERATE = 60_000
_SAMPLED = 10_000
_MEASURED = 1_000
"""Candidates whose metrics nobody can have recorded."""
_ATTEMPTS = 20
"""Draws for each candidate wanted, before a space is taken to have no others."""
_COVERAGE = 0.5

Identity = Callable[[Architecture], Hashable]
"""What two architectures share that are one evaluation."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Architectures that differ in identity; `position` maps an identity to its place among them."""

    architectures: tuple[Architecture, ...]
    position: Mapping[Hashable, int]
    space: Space

    def positions(self, identities: Iterable[Hashable]) -> list[int]:
        """Places of those identities that are among the candidates."""
        return [self.position[identity] for identity in identities if identity in self.position]

    @cached_property
    def encodings(self) -> Encodings:
        """Graph encodings of all of them, in their order."""
        return Encodings.stack(self.space.encode_graph(a) for a in self.architectures)

    def __len__(self) -> int:
        return len(self.architectures)


@dataclass(frozen=True, eq=False)
class MetricPool:
    """Candidates and their metrics: `values` (n, k), higher = expected better, NaN = missing; `names` (k,)."""

    candidates: Candidates
    names: tuple[str, ...]
    values: NDArray[np.float64]

    @cached_property
    def incomplete(self) -> NDArray[np.bool_]:
        """Which candidates (n,) lack a metric."""
        return np.asarray(np.isnan(self.values).any(axis=1))

    @cached_property
    def min_max(self) -> NDArray[np.float64]:
        """Each metric mapped to [0, 1] by its range over the candidates; missing values and constant metrics 0.5."""
        found = np.full_like(self.values, 0.5)
        for column, scaled in zip(self.values.T, found.T, strict=True):
            present = np.isfinite(column)
            if present.any() and (high := column[present].max()) > (low := column[present].min()):
                scaled[present] = (column[present] - low) / (high - low)
        return found


def candidates(domain: Domain, seed: int, size: int | None = None) -> Candidates:
    """The candidates of a search: the whole space up to 60,000 architectures, else a sample of 10,000.

    `size` asks for a sample of that many instead (fewer where the space has fewer). The sample depends on `seed` alone.
    Lists are shared by the searches of one process.
    """
    whole = size is None and domain.space.enumerable and domain.space.size <= _ENUMERATE
    if whole or (size is not None and domain.space.enumerable and domain.space.size <= size):
        return _whole(domain.space, domain.identity)
    return _sampled(domain.space, domain.identity, seed, size or _SAMPLED)


@lru_cache(maxsize=2)
def _whole(space: Space, identity: Identity) -> Candidates:
    found: dict[Hashable, Architecture] = {}
    for architecture in space.enumerate():
        found.setdefault(identity(architecture), architecture)
    return _listed(space, found)


@lru_cache(maxsize=2)
def _sampled(space: Space, identity: Identity, seed: int, size: int) -> Candidates:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 3)))
    found: dict[Hashable, Architecture] = {}
    for _ in range(_ATTEMPTS * size):
        if len(found) == size:
            break
        architecture = space.sample(rng)
        found.setdefault(identity(architecture), architecture)
    return _listed(space, found)


def _listed(space: Space, found: Mapping[Hashable, Architecture]) -> Candidates:
    return Candidates(tuple(found.values()), {key: place for place, key in enumerate(found)}, space)


def require_metrics(domain: Domain, method: str, metrics: Sequence[str] | None = None) -> ProxySource:
    """The metrics of a search, those of other tasks included, for methods that cannot do without.

    Raises `MetricsUnavailableError` when there are none, `UnknownNameError` when one of `metrics` is not among them.
    """
    source = domain.proxies
    if domain.source_tasks:
        source = with_transferred(cast(Hashable, source), domain.space, domain.source_tasks)
    if source is None:
        raise MetricsUnavailableError(method, domain.space.name, "the objective tells none")
    for name in metrics or ():
        if name not in source.names:
            raise UnknownNameError(f"metric of {domain.space.name}", name, source.names)
    return source


def metric_pool(
    domain: Domain, seed: int, method: str, metrics: Sequence[str] | None = None, size: int | None = None
) -> MetricPool:
    """The candidates of a search with their metrics, computed once in a process.

    `metrics` are the names wanted, by default all that at least half of the candidates have, without evolved metrics
    over others that are there (these would count twice); what is known of other tasks is always among them. `size` is
    as for `candidates`, except that the sample of a space that cannot be enumerated has 1,000 by default. Errors are
    those of `require_metrics`; `MetricsUnavailableError` also when no metric covers half of the candidates.
    """
    source = require_metrics(domain, method, metrics)
    names = tuple(name for name in source.names if not _composed(name, source.names))
    if metrics:
        names = (*metrics, *(n for n in source.names if n.startswith(PREFIX) and n not in metrics))
    if size is None and not domain.space.enumerable:
        size = _MEASURED
    pool = _metric_pool(candidates(domain, seed, size), cast(Hashable, source), tuple(names))
    if metrics:
        return pool
    pool = _covered(pool)
    if not pool.names:
        raise MetricsUnavailableError(method, domain.space.name, "none is known for half of the candidates")
    return pool


def _composed(name: str, others: Sequence[str]) -> bool:
    """Whether a metric is computed from others that are there as well."""
    spec = registry.entry(name).spec if name in registry else None
    return isinstance(spec, ProxySpec) and bool(spec.needs) and set(spec.needs) <= set(others)


@lru_cache(maxsize=4)
def _metric_pool(listed: Candidates, source: ProxySource, names: tuple[str, ...]) -> MetricPool:
    values = np.asarray(source.values(listed.architectures, names), dtype=np.float64)
    # An infinite score orders nothing; it is as good as none.
    return MetricPool(listed, names, np.where(np.isfinite(values), values, np.nan))


@lru_cache(maxsize=4)
def _covered(pool: MetricPool) -> MetricPool:
    kept = np.flatnonzero(np.isfinite(pool.values).mean(axis=0) >= _COVERAGE)
    return MetricPool(pool.candidates, tuple(pool.names[k] for k in kept), pool.values[:, kept])
