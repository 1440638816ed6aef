"""The candidates of one task of the study: architectures whose search signal and proxy scores are all known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from po_nas import benchmarks
from po_nas.benchmarks.other_tasks import other_tasks
from po_nas.core.objective import Objective, Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.core.searcher import Domain, SharedCache
from po_nas.core.trial import SourceTask
from po_nas.errors import RunDirectoryError
from po_nas.methods.candidates.candidate_set import scored_candidates
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.methods.proxy_bo import log_error
from po_nas.research.fusion.design import Task
from po_nas.runtime.run_directory import read_record
from po_nas.runtime.setup import make_objective
from po_nas.runtime.summary import protocol_of
from po_nas.runtime.trusted_plugins import load_named
from po_nas.runtime.warm_start import gather
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.pool import PoolSpace
from surrogates.labels import impute_failures

__all__ = ["TaskPool", "tasks_of_runs"]

F64 = NDArray[np.float64]
_FEWEST = 20
"""Candidates below which folds and quartiles say nothing."""


@dataclass(frozen=True, eq=False)
class TaskPool:
    """m candidates of a task.

    Attributes:
        name: Of the task.
        space: The candidates as a space.
        identity: The key of an architecture.
        maximize: Whether a higher search signal is better.
        signal: The search signal (m,) in the order of `space`, NaN for a failed evaluation.
        proxies: Their proxy scores.
        protocol: What the search signal is.
        cache: What the searches of this task share.
    """

    name: str
    space: PoolSpace
    identity: Callable[[Architecture], Hashable]
    maximize: bool
    signal: F64
    proxies: ProxySource | None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    cache: SharedCache = field(default_factory=lambda: SharedCache(8), repr=False)

    @classmethod
    def load(cls, task: Task) -> TaskPool:
        """The candidates of a task.

        Raises:
            MissingDataError: When the data of the benchmark have not been fetched.
            ProxiesUnavailableError: When no proxy is known for half of the candidates.
            RunDirectoryError: For runs with fewer than 20 different evaluations.
        """
        found = _of_runs(task) if task.runs else _of_benchmark(task)
        found.features  # noqa: B018 - proxies that are not there are to be missed here
        return found

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def group(self) -> str:
        """Tasks of one group have one space."""
        return self.name.partition("/")[0]

    def domain(self, told: Sequence[SourceTask] = ()) -> Domain:
        """What a search over the candidates knows; `told` is what it is told of other tasks."""
        tasks, cache = tuple(told), self.cache
        return Domain(self.space, self.identity, self.maximize, None, len(self), self.proxies, tasks, cache)

    @cached_property
    def other_tasks(self) -> tuple[SourceTask, ...]:
        """The tables of the benchmark's other tasks; none for runs."""
        return other_tasks(self.name, self.protocol)

    @cached_property
    def features(self) -> ProxyFeatures:
        """The candidates described, in the order of `signal`."""
        listed = scored_candidates(self.domain(), 0, "po-nas study fusion")
        return self.cache.get("features", (listed,), None, lambda: ProxyFeatures.of(listed))

    @cached_property
    def truth(self) -> F64:
        """The search signal (m,), higher is better, failures at the worst value."""
        return np.asarray(impute_failures(self.signal if self.maximize else -self.signal), dtype=np.float64)

    @cached_property
    def targets(self) -> F64:
        """What models of this package learn (m,), of all labels together."""
        return log_error(self.truth)

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """The candidates."""
        return self.features.candidates.architectures

    @cached_property
    def classes(self) -> NDArray[np.intp]:
        """Numbers (m,) that isomorphic candidates share."""
        keys = [self.space.canonical(architecture) for architecture in self.architectures]
        return np.unique(keys, return_inverse=True)[1]

    def outcome(self, place: int) -> Outcome:
        """What an evaluation of a candidate tells."""
        value = float(self.signal[place])
        return Outcome.failed("it failed when the table was made") if np.isnan(value) else Outcome.ok(value)

    def labels(self, number: int, seed: int) -> NDArray[np.intp]:
        """Places of `number` candidates: in turn one of the tenth that the mean rank puts on top, and any one.

        Those for a smaller number are the first of those for a larger. When the tenth is used up, all others are
        drawn. Randomness: `seed` and the task's name.
        """
        rng = self.rng(seed, 0)
        top = np.argsort(-self.features.fused, kind="stable")[: max(1, len(self) // 10)]
        picked, drawn = iter(rng.permutation(top)), iter(rng.permutation(len(self)))
        chosen: dict[int, None] = {}
        while len(chosen) < min(number, len(self)):
            source = picked if len(chosen) % 2 == 0 else drawn
            place = next((int(p) for p in source if int(p) not in chosen), None)
            if place is None:
                place = next(int(p) for p in drawn if int(p) not in chosen)
            chosen[place] = None
        return np.array(list(chosen), dtype=np.intp)

    def rng(self, seed: int, purpose: int) -> np.random.Generator:
        """A generator of this task."""
        return np.random.default_rng([seed, crc32(self.name.encode()), purpose])

    # -- how good a candidate is ------------------------------------------------------------------------------------

    def regret(self, value: float) -> float:
        """Simple regret of a candidate of true `value` in interquartile ranges, at most 2."""
        quartiles = np.percentile(self.truth, [25, 75])
        return self._regret(value, float(quartiles[1] - quartiles[0]))

    def scaled_regret(self, value: float) -> float:
        """Simple regret in units of the best minus the median, at most 2."""
        return self._regret(value, float(self.truth.max() - np.median(self.truth)))

    def _regret(self, value: float, unit: float) -> float:
        lost = float(self.truth.max()) - value
        return min(2.0, lost / (unit or float(np.ptp(self.truth)) or 1.0))

    def rank(self, value: float) -> float:
        """1 + the number of candidates that are better."""
        return 1.0 + float(np.count_nonzero(self.truth > value))


def _of_benchmark(task: Task) -> TaskPool:
    table = benchmarks.get(task.name, task.feedback)
    rows = np.arange(len(table.rows))
    if task.size is not None and task.size < len(rows):
        rng = np.random.default_rng([task.draw, crc32(task.name.encode())])
        rows = np.sort(rng.permutation(len(rows))[: task.size])
    listed = [table.rows.architecture(int(row)) for row in rows]
    space = PoolSpace(_whole(table.space), listed)
    signal, maximize = table.validation[rows], table.metric.maximize
    return TaskPool(task.name, space, table.identity, maximize, signal, table.proxies, table.protocol())


def _whole(space: Space) -> Space:
    return space.base if isinstance(space, PoolSpace) else space


def _objective(directory: Path) -> Objective:
    record = read_record(directory)
    load_named(record.config.plugins, directory / "config.yaml", False)
    return make_objective(record.config, directory)


def _told(runs: Sequence[str], objective: Objective) -> dict[str, list[float]]:
    """Search signals by architecture, of runs on one task; an architecture that failed has NaN."""
    found: dict[str, list[float]] = {}
    for run, directory in zip(gather(runs, objective.space, protocol_of(objective)), runs, strict=True):
        if not run.same:
            raise RunDirectoryError(directory, f"was told something else than {runs[0]}: give runs of one protocol")
        for text, value in run.told:
            found.setdefault(text, []).append(np.nan if value is None else value)
    return found


def tasks_of_runs(runs: Sequence[str]) -> list[Task]:
    """The tasks of finished runs: those on one benchmark are one task, of all that they have evaluated.

    Raises `RunDirectoryError` for what is no run, and what `make_objective` raises.
    """
    by_benchmark: dict[str, list[str]] = {}
    for run in runs:
        by_benchmark.setdefault(read_record(Path(run)).config.benchmark, []).append(run)
    found = []
    for name, directories in by_benchmark.items():
        told = _told(directories, _objective(Path(directories[0])))
        text = json.dumps(sorted((key, [repr(v) for v in values]) for key, values in told.items()))
        hashed = hashlib.sha256(text.encode()).hexdigest()[:16]
        found.append(Task(f"runs/{name}", None, None, 0, tuple(directories), hashed))
    return found


def _of_runs(task: Task) -> TaskPool:
    objective = _objective(Path(task.runs[0]))
    told = _told(task.runs, objective)
    values: dict[Hashable, list[float]] = {}
    listed: dict[Hashable, Architecture] = {}
    for text, found in told.items():
        architecture = objective.space.from_string(text)
        key = objective.identity(architecture)
        listed.setdefault(key, architecture)
        values.setdefault(key, []).extend(found)
    if len(listed) < _FEWEST:
        raise RunDirectoryError(
            task.runs[0], f"has {len(listed)} different evaluations; the study needs {_FEWEST} or more of a task"
        )
    # One that was evaluated several times has the mean of what did not fail.
    finite = [[value for value in found if np.isfinite(value)] for found in values.values()]
    signal = np.array([np.mean(known) if known else np.nan for known in finite])
    space = PoolSpace(_whole(objective.space), list(listed.values()))
    return TaskPool(task.name, space, objective.identity, objective.metric.maximize, signal, objective.proxies)
