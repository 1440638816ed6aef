"""Proxy scores computed on demand: networks are built and scored where nobody has recorded scores."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import proxies
from po_nas.core.proxy_source import Compute, ComputedProxySource, ScoringStep, Watch
from po_nas.errors import ProxyBatchError, ProxyValueError, ScoreCacheError, UnknownNameError, UnsupportedModuleError
from po_nas.networks.base import Networks
from po_nas.source_code import code_hash
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.graph_leaves import graph_leaves
from po_nas.spaces.networks import networks_of
from proxies.batch import Batch
from proxies.cache import ScoreCache
from proxies.engine import resolve
from proxies.evolved.proxy import EvolvedProxy, find
from proxies.evolved.reference import Reference, fit
from proxies.shelf import Shelf

__all__ = ["ComputedProxies", "Inputs", "networks_key"]

_log = logging.getLogger(__name__)

_FINAL = (ProxyValueError, UnsupportedModuleError, ProxyBatchError)
"""What says that a network has no score on a batch. Other failures may be those of this machine at this time."""

Inputs = tuple[Mapping[str, Any], Any]
"""Options of the networks, and the batch that they are scored on."""


class ComputedProxies(ComputedProxySource):
    """Proxy scores of a space by building its networks.

    Scores are kept in memory and, with a `cache`, in that file, which several searches may use; what failed is NaN.
    Their key has everything that decides them: space, architecture, options, batch and seeds; proxies and their code,
    that of the networks and our own; the version of torch and the instructions of the processor that it uses. A cache
    that cannot be used is warned of, and what it would have held is computed. Not to be shared by threads.

    Where others compute (`compute_by`), the cache is read and written here all the same, unless a function makes the
    inputs: then they are made where networks are scored, and the cache is there too.

    An evolved proxy is seen against a reference of this space, network and batch: the scores of its leaves for
    `reference` architectures that are drawn from the space once (always the same).

    Args:
        space: Whose networks are built.
        names: Proxies; patterns such as ``az_*`` are expanded.
        batch: What networks are scored on, or a function that returns options and batch when they are first needed.
        network: Options of the space's networks (``{"num_classes": 10}``); with a function as `batch` it gives them.
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
        self._watch: Watch = _unwatched
        self._opened: Shelf | None = None
        self._built_elsewhere = 0
        self._size, self._origin = reference, origin
        self._evolved = {name: proxy for name in self._specs if (proxy := find(name)) is not None}
        self._references: dict[str, Reference] = {}
        self._reasons: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The proxies."""
        return tuple(self._specs)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why scores are missing, by name: the last reason of each in this process."""
        return self._reasons

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

    def keep_in(self, path: str) -> None:
        """Keep scores in the file, unless a `cache` was given."""
        if self._path is None:
            self._path = Path(path)

    def watch(self, watch: Watch) -> None:
        """Say what is wanted and what is done."""
        self._watch = watch

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
        unknown = self._missing(architectures, names)
        if unknown:
            self._watch(ScoringStep(wanted=sum(len(wanted) * len(missing) for wanted, missing in unknown.items())))
            self._read(unknown)
            for wanted, missing in self._missing(architectures, names).items():
                (self._score if self._compute is None else self._score_elsewhere)(missing, wanted)
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
        network, batch = self._inputs
        self._built.update(map(self._space.to_string, architectures))
        results = proxies.score_many(
            architectures,
            batch,
            names,
            build=partial(self._space.build, **network),
            seed=self._seed,
            init_seed=self._init_seed,
            workers=self._workers,
        )
        for result in results:
            architecture = architectures[result.index]
            without = [name for name, error in result.errors.items() if isinstance(error, _FINAL)]
            self._reasons |= {name: error.reason for name, error in result.errors.items()}
            self._take(architecture, {name: result.values.get(name, np.nan) for name in names}, without)

    def _score_elsewhere(self, architectures: Sequence[Architecture], names: Sequence[str]) -> None:
        assert self._compute is not None
        turned = np.array([self._specs[name].direction or 1 for name in names])
        for part in self._compute(architectures, names):
            self._built_elsewhere += part.networks
            for architecture, row in zip(part.architectures, part.scores * turned, strict=True):
                self._take(architecture, dict(zip(names, row.tolist(), strict=True)))

    # -- what is kept on disk -------------------------------------------------------------------------------------

    def _take(self, architecture: Architecture, scores: Mapping[str, float], without: Sequence[str] = ()) -> None:
        """Enter scores that have just been computed; `without` have none for good."""
        self._known.update({(architecture, name): score for name, score in scores.items()})
        shelf = self._shelf
        if shelf is not None:
            finite = {n: s for n, s in scores.items() if np.isfinite(s) and n not in self._evolved}
            try:
                shelf.store(self._space.to_string(architecture), finite, without)
            except ScoreCacheError as error:
                self._give_up(error)
        self._watch(ScoringStep(computed=len(scores)))

    def _read(self, unknown: Mapping[tuple[str, ...], Sequence[Architecture]]) -> None:
        """Enter what is on disk."""
        kept = 0
        try:
            for names, architectures in unknown.items():
                # What others compose depends on a sample of theirs.
                wanted = [name for name in names if name not in self._evolved]
                for architecture in architectures:
                    shelf = self._shelf
                    found = {} if shelf is None else shelf.known(self._space.to_string(architecture), wanted)
                    self._known.update({(architecture, name): score for name, score in found.items()})
                    kept += len(found)
        except ScoreCacheError as error:
            self._give_up(error)
        if kept:
            self._watch(ScoringStep(kept=kept))

    @property
    def _leaves(self) -> list[str]:
        """The proxies that are scored on networks: those of evolved ones in their place."""
        found = [name for name in self._specs if name not in self._evolved]
        return list(dict.fromkeys([*found, *(leaf for proxy in self._evolved.values() for leaf in proxy.proxies)]))

    @property
    def _shelf(self) -> Shelf | None:
        if self._path is None or (self._compute is not None and callable(self._batch)):
            return None
        if self._opened is None:
            batch = self._inputs[1]
            try:
                self._opened = Shelf(
                    ScoreCache(self._path),
                    self._networks,
                    resolve(self._leaves),
                    Batch.of(batch),
                    seed=self._seed,
                    init_seed=self._init_seed,
                )
            except ScoreCacheError as error:
                self._give_up(error)
        return self._opened

    def _give_up(self, error: ScoreCacheError) -> None:
        _log.warning("proxy scores are not kept: %s", error)
        self._path = self._opened = None

    @property
    def _networks(self) -> str:
        """What tells the networks, and what computes their scores, from others."""
        return networks_key(self._space, self._inputs[0], ComputedProxies, ScoreCache)

    @cached_property
    def _inputs(self) -> Inputs:
        return self._batch() if callable(self._batch) else (self._network, self._batch)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: it computes there, and what it computes is kept by whoever asks."""
        kept = self._path if callable(self._batch) else None
        return {**self.__dict__, "_compute": None, "_watch": _unwatched, "_opened": None, "_path": kept}


def networks_key(space: Space, options: Mapping[str, Any], *code: object) -> str:
    """What tells networks, and what is computed on them, from others: for the keys of what is kept.

    Space, options, `code` and that of the networks, the version of torch and the instructions of the processor that it
    uses.
    """
    import torch

    try:
        found = networks_of(space.name)
    except UnknownNameError:
        builder: object = type(space)
    else:
        builder = found.network if isinstance(found, Networks) else found
    told = json.dumps(dict(options), sort_keys=True, default=str)
    hashed = code_hash(type(space), builder, *code)
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{space.network_identity} {told} code {hashed} torch {torch.__version__} {kernels}"


def _unwatched(step: ScoringStep) -> None:
    """Nobody watches."""
