"""What the network of an architecture costs: its latency on this machine, measured; the memory of its tensors."""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.core.goals import Metric
from po_nas.core.objective import Objective, ObjectiveWrapper, Outcome
from po_nas.core.proxy_source import ScoringStep, Watch
from po_nas.errors import ScoreCacheError, UnsupportedModuleError
from po_nas.proxy_scores.computed import networks_key
from po_nas.spaces.base import Architecture
from proxies.batch import Batch
from proxies.cache import CacheKey, ScoreCache
from proxies.profiling import device_here, measure_latency, peak_memory

__all__ = ["LatencySettings", "with_measured"]

_log = logging.getLogger(__name__)

LATENCY = Metric("latency", "ms", maximize=False)
MEMORY = Metric("memory", "MB", maximize=False, known=True)


class LatencySettings(NamedTuple):
    """Where latency is measured and for how long, see `proxies.profiling.measure_latency`; `samples` of a batch."""

    device: str = "cpu"
    threads: int = 1
    samples: int = 1
    seconds: float = 0.5


def with_measured(
    objective: Objective, wanted: Iterable[str], settings: LatencySettings | None, path: Path
) -> Objective:
    """The same objective with the metrics ``latency`` and ``memory``, as far as they are wanted and it has none such.

    Memory is known without an evaluation. Latency is measured where the evaluation runs, once for an architecture: it
    is kept in a file, for each machine and setting.

    A function of the user's may tell a latency or memory of its own. Of such an objective the metrics are wanted where
    the unit is at the end of the name, or where there are `settings`.

    Args:
        objective: Any whose space has networks.
        wanted: Names of metrics, which may have the unit at their end.
        settings: For the latency; None: the processor, one thread, one sample.
        path: The file of latencies (SQLite, local disk).

    Raises:
        ConfigError: For a device that is not here.
        UnknownNameError: For a space without networks, and `DeclarationError` for a declared one.
    """
    source, names = objective.proxies, set(wanted)
    have = {*objective.metrics, *(() if source is None else source.names)}
    added = []
    for metric, chosen in ((LATENCY, settings is not None), (MEMORY, False)):
        with_unit = f"{metric.name}_{metric.unit.lower()}" in names
        meant = metric.name in names and (chosen or not objective.more_metrics)
        if metric.name not in have and (with_unit or meant):
            added.append(metric)
    if not added:
        return objective
    settings = settings or LatencySettings()
    if LATENCY in added:
        device_here(settings.device, "latency.device")
    objective.example_inputs(settings.samples)
    return _Measured(objective, added, settings, path)


class _Measured(ObjectiveWrapper):
    """An objective whose networks are built to learn what they cost."""

    def __init__(self, objective: Objective, added: Sequence[Metric], settings: LatencySettings, path: Path) -> None:
        super().__init__(objective)
        self._added, self._settings, self._path = {metric.name: metric for metric in added}, settings, path
        self._memory: dict[Architecture, float] = {}
        self._watch: Watch | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For another process, where nobody watches; it makes the inputs again."""
        return {**{key: value for key, value in self.__dict__.items() if key != "_inputs"}, "_watch": None}

    @cached_property
    def _inputs(self) -> tuple[Mapping[str, Any], Batch]:
        """Options of the networks, and the batch, made once for all architectures."""
        samples = self._settings.samples
        options, given = self.example_inputs(samples)
        batch = Batch.of(given)
        if all(len(x) == len(batch) for x in batch.inputs):
            batch = Batch(tuple(x[:samples] for x in batch.inputs))
        return options, batch

    def watch(self, watch: Watch) -> None:
        super().watch(watch)
        self._watch = watch

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return {**self.objective.metrics, **self._added}

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        own = MEMORY.name in names and MEMORY.name in self._added
        found = dict(self.objective.known(architectures, [n for n in names if not (own and n == MEMORY.name)]))
        if own:
            self._say(ScoringStep(wanted=len({*architectures} - self._memory.keys())))
            found[MEMORY.name] = np.array([self._memory_of(a) for a in architectures], dtype=np.float64)
        return found

    def _memory_of(self, architecture: Architecture) -> float:
        if architecture not in self._memory:
            # On the device "meta", where nothing is computed, operators take longer than those of small networks.
            network, batch = self._network(architecture, "cpu")
            self._memory[architecture] = peak_memory(network, batch)
            self._say(ScoringStep(computed=1))
        return self._memory[architecture]

    def _say(self, step: ScoringStep) -> None:
        if self._watch is not None and step != ScoringStep():
            self._watch(step)

    def evaluate(self, architecture: Architecture, *, seed: int, fidelity: float | None = None) -> Outcome:
        outcome = self.objective.evaluate(architecture, seed=seed, fidelity=fidelity)
        if LATENCY.name not in self._added or not isinstance(outcome, Outcome) or outcome.failure is not None:
            return outcome
        try:
            latency = self._latency_of(architecture)
        except UnsupportedModuleError as error:
            return Outcome.failed(f"latency: {error.reason}", outcome.cost_s)
        return Outcome({**outcome.metrics, LATENCY.name: latency}, outcome.cost_s)

    def _latency_of(self, architecture: Architecture) -> float:
        """The one that is kept, or a new one, ms."""
        settings = self._settings
        network, batch = self._network(architecture, settings.device)

        def measured() -> float:
            return measure_latency(network, batch, threads=settings.threads, seconds=settings.seconds).median_ms

        key = self._key(architecture, batch)
        try:
            with ScoreCache(self._path) as cache:
                if cache.get(key) is None:
                    cache.put({key: measured()})
                # Another process may have been first.
                return float(cache.get(key) or math.nan)
        except ScoreCacheError as error:
            _log.warning("latencies are not kept: %s", error)
            return measured()

    def _network(self, architecture: Architecture, device: str) -> tuple[torch.nn.Module, Batch]:
        options, batch = self._inputs
        network: torch.nn.Module = self.space.build(architecture, **options)
        return network.to(device), batch.to(torch.device(device), torch.float32)

    def _key(self, architecture: Architecture, batch: Batch) -> CacheKey:
        settings = self._settings
        networks = networks_key(self.space, self._inputs[0], measure_latency)
        where = torch.device(settings.device)
        machine = platform.node() if where.type == "cpu" else torch.cuda.get_device_name(where)
        shapes = " ".join(f"{tuple(x.shape)} {x.dtype}" for x in batch.inputs)
        how = f"{shapes}, {settings.threads} threads, {settings.seconds:g} s, {where} of {machine}"
        return CacheKey(networks, self.space.to_string(architecture), LATENCY.name, 1, "0/0", how, "float32")
