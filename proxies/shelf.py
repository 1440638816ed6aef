"""The scores in a cache that belong to one kind of networks, one batch and one pair of seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from po_nas.source_code import code_hash
from proxies.batch import Batch
from proxies.cache import CacheKey, ScoreCache
from proxies.engine import Proxy, with_needs
from proxies.passes import Loss

__all__ = ["Shelf"]


class Shelf:
    """A part of a `ScoreCache`, in which scores are found by architecture and proxy.

    Args:
        cache: Where they are kept.
        space: Names the networks and whatever else decides them, see `CacheKey`.
        wanted: The proxies.
        batch: What is scored on.
        seed: Of the scoring.
        init_seed: Of the initial weights.
        loss: Where it is not the default.
    """

    def __init__(
        self,
        cache: ScoreCache,
        space: str,
        wanted: Sequence[Proxy],
        batch: Batch,
        *,
        seed: int,
        init_seed: int,
        loss: Loss | None = None,
    ) -> None:
        self._cache = cache
        fingerprint = batch.fingerprint() + ("" if loss is None else f" {code_hash(loss)}")
        self._keys = {
            proxy.spec.name: CacheKey(
                space, "", proxy.spec.name, _version(proxy), f"{init_seed}/{seed}", fingerprint, proxy.spec.dtype
            )
            for proxy in wanted
        }

    def known(self, architecture: str, names: Iterable[str]) -> dict[str, float]:
        """Scores of an architecture that are there, by name; NaN where it is known that there is no finite one."""
        found = {name: self._cache.get(self._key(architecture, name)) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def store(self, architecture: str, values: Mapping[str, float], without: Iterable[str] = ()) -> None:
        """Keep finite scores of an architecture, and the names of proxies that have no finite one."""
        self._cache.put(
            {self._key(architecture, name): value for name, value in values.items()},
            [self._key(architecture, name) for name in without],
        )

    def _key(self, architecture: str, name: str) -> CacheKey:
        return self._keys[name]._replace(architecture=architecture)


def _version(proxy: Proxy) -> int | str:
    """The version of a proxy; where it, or one that it needs, is not ours, also a hash of their code.

    Nobody raises the version of a plug-in while working on it.
    """
    others = [one.function for one in with_needs([proxy]) if one.function.__module__.partition(".")[0] != "proxies"]
    return f"{proxy.spec.version} {code_hash(*others)}" if others else proxy.spec.version
