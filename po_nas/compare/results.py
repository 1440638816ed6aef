"""Reading comparisons: searches, their incumbents, and the numbers that tables and figures are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas.compare.design import ComparisonConfig
from po_nas.compare.measures import MEASURES
from po_nas.compare.store import COLUMNS, cast, read_table
from po_nas.compare.trust import Trust, trust_of
from po_nas.core.fidelities import ROUNDING
from po_nas.errors import ConfigError
from po_nas.evolution.front import front_of, hypervolume, reference_point
from po_nas.runtime.front import FrontMeasure

__all__ = ["MIXED", "Search", "Study"]

Array = NDArray[np.float64]


MIXED = "mixed"
"""Stands for the executor or batch of a comparison whose runs had different ones; their labels say which."""


def _kept(columns: Mapping[str, Array]) -> NDArray[np.bool_]:
    full = np.isnan(columns["fidelity"])
    return np.asarray(full & ~np.isnan(columns["validation"]) & (columns["violation"] == 0.0))


@dataclass(frozen=True)
class Search:
    """One search: (n,) columns over its evaluations, and which evaluation was the incumbent after each.

    `incumbent` (n,) holds indices, -1 before the first success; ties go to the earlier evaluation. What is beyond a
    limit, and what was evaluated at a lower fidelity, is never the incumbent. `losses` (n, k) are the values of several
    objectives, NaN for failures, or (n, 0).
    """

    benchmark: str
    method: str
    seed: int
    architecture: tuple[str, ...]
    columns: Mapping[str, Array]
    incumbent: NDArray[np.int64]
    sign: float
    losses: Array

    @classmethod
    def of(
        cls,
        benchmark: str,
        method: str,
        seed: int,
        sign: float,
        architecture: Sequence[str],
        columns: Any,
        losses: Array | None = None,
    ) -> Search:
        """Find the incumbents; `sign` is -1 where lower validation is better."""
        oriented = np.where(_kept(columns), sign * columns["validation"], -np.inf)
        best_before = np.maximum.accumulate(np.concatenate([[-np.inf], oriented[:-1]]))
        improved = oriented > best_before
        incumbent = np.maximum.accumulate(np.where(improved, np.arange(len(oriented)), -1))
        losses = np.empty((len(architecture), 0)) if losses is None else losses
        return cls(benchmark, method, seed, tuple(architecture), columns, incumbent.astype(np.int64), sign, losses)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(n,) whether an evaluation is a full one that succeeded within the limits."""
        return _kept(self.columns)

    def hypervolumes(self, reference: Array, whole: float) -> Array:
        """(n,) hypervolumes of the front after each evaluation, as shares of `whole`."""
        front, volume, found = np.empty((0, len(reference))), 0.0, np.zeros(len(self))
        for place, (point, kept) in enumerate(zip(self.losses, self.kept, strict=True)):
            # Most evaluations leave the front as it is, and volumes cost time.
            if kept and not (front <= point).all(axis=1).any():
                front = np.concatenate([front[~(point <= front).all(axis=1)], point[None]])
                volume = hypervolume(front, reference) / whole
            found[place] = volume
        return found

    def __len__(self) -> int:
        return len(self.architecture)

    def curve(self, measure: str, optimum: float | None) -> Array:
        """(n,) values of a measure after each evaluation, NaN where unknown."""
        if measure == "best_test_queried":
            test = np.where(self.kept, self.columns["test"], np.nan)
            return self.sign * np.fmax.accumulate(self.sign * test)
        column = self.columns["validation" if measure == "regret" else measure]
        found = np.where(self.incumbent < 0, np.nan, column[self.incumbent])
        if measure != "regret":
            return found
        gap = self.sign * ((math.nan if optimum is None else optimum) - found)
        return np.where(np.abs(gap) < 1e-9, 0.0, gap)


@dataclass(frozen=True)
class Study:
    """A comparison, finished or not.

    `record` is the configuration, protocols, versions and failures; `searches` by benchmark, method and seed. A search
    that ended before the budget keeps its last incumbent. `trust` is what methods that explain themselves have learned.
    """

    record: Mapping[str, Any]
    searches: Mapping[tuple[str, str, int], Search]
    table: pa.Table
    trust: tuple[Trust, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Study:
        """Read ``results.parquet`` or the directory that holds it, also while the comparison runs."""
        path = path if path.suffix == ".parquet" and not path.is_dir() else path / "results.parquet"
        table, record = read_table(path)
        trust = path.with_name("trust.parquet")
        return cls.of(table, record, trust_of(read_table(trust)[0]) if trust.exists() else ())

    def presented(self, config: ComparisonConfig) -> Study:
        """The same results under the name, reported evaluations, reference, notes and published numbers of `config`.

        Raises `ConfigError` where they are of another study: what was run differs, or ended before what is reported.
        """
        asked = config.model_dump(mode="json")
        same = ("benchmarks", "methods", "feedback", "batch", "executor", "objectives", "constraints")
        for key in (*same, *(key for key in ("seeds", "budget", "proxies", "known_metrics") if key in self.config)):
            if asked.get(key) != self.config.get(key, {}):
                given = list(asked[key]) if key == "methods" else asked[key]
                raise ConfigError(key, given, "is not what these results are of; run it without --report-only")
        if config.reported[-1] > self.budget:
            raise ConfigError("at", config.reported[-1], f"is beyond the {self.budget} evaluations that were run")
        shown = {key: asked[key] for key in ("name", "notes", "published", "targets")}
        shown |= {"at": list(config.reported), "reference": config.baseline}
        return replace(self, record={**self.record, "config": {**self.config, **shown}})

    @classmethod
    def of(cls, table: pa.Table, record: Mapping[str, Any], trust: tuple[Trust, ...] = ()) -> Study:
        """Of a table of `store.COLUMNS`, in which the rows of a search are in the order of completion."""
        table = cast(table, COLUMNS, Path("results.parquet"))
        names = [name for name in COLUMNS.names if COLUMNS.field(name).type == pa.float64()]
        floats = {name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in names}
        floats["violation"] = np.nan_to_num(floats["violation"], nan=0.0, posinf=np.inf)
        number = table["evaluation"].to_numpy().astype(np.float64)
        floats["spent"] = np.where(np.isnan(floats["spent"]), number, floats["spent"])
        benchmark, method = (table[name].to_pylist() for name in ("benchmark", "method"))
        seed, architecture, losses = (table[name].to_pylist() for name in ("seed", "architecture", "losses"))
        places: dict[tuple[str, str, int], list[int]] = {}
        for place, key in enumerate(zip(benchmark, method, seed, strict=True)):
            places.setdefault(key, []).append(place)
        searches = {}
        for key, found in places.items():
            sign = -1.0 if record["benchmarks"][key[0]].get("direction") == "minimize" else 1.0
            columns = {name: column[found] for name, column in floats.items()}
            told = [losses[place] for place in found]
            k = max((len(row) for row in told if row is not None), default=0)
            points = np.array([[math.nan] * k if row is None else row for row in told], dtype=np.float64)
            searches[key] = Search.of(
                *key, sign, [architecture[place] for place in found], columns, points.reshape(len(found), k)
            )
        return cls(record, searches, table, trust)

    # -- what was compared -----------------------------------------------------------------------------------------

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration as written."""
        return dict(self.record["config"])

    @cached_property
    def benchmarks(self) -> list[str]:
        """Those with a finished search, in the order of the study."""
        present = {key[0] for key in self.searches}
        return [name for name in self.record["benchmarks"] if name in present]

    @cached_property
    def methods(self) -> list[str]:
        """Labels with a finished search, in the order of the study."""
        present = {key[1] for key in self.searches}
        return [label for label in self.record["config"]["methods"] if label in present]

    @cached_property
    def lower_fidelities(self) -> bool:
        """Whether there are evaluations at lower fidelities, so that those that are counted are full ones."""
        return any(np.isfinite(search.columns["fidelity"]).any() for search in self.searches.values())

    @property
    def counted(self) -> str:
        """What the evaluations are called that are counted."""
        return "full evaluations" if self.lower_fidelities else "evaluations"

    @property
    def budget(self) -> int:
        """Full evaluations of each search."""
        return int(self.record["config"]["budget"])

    @property
    def reported(self) -> tuple[int, ...]:
        """Evaluation counts to report at, ascending."""
        return tuple(sorted(set(self.record["config"]["at"]))) or (self.budget,)

    @property
    def baseline(self) -> str | None:
        """The method that the others are tested against; None when it has no finished search."""
        wanted = self.record["config"]["reference"] or next(iter(self.record["config"]["methods"]))
        return wanted if wanted in self.methods else None

    @property
    def finished(self) -> bool:
        """Whether every search has ended, well or not."""
        return int(self.record["finished"]) + len(self.record["failed"]) == int(self.record["searches"])

    def sign(self, benchmark: str, measure: str) -> float:
        """+1 where higher values of the measure are better, -1 where lower ones are."""
        if MEASURES[measure].better:
            return float(MEASURES[measure].better)
        return -1.0 if self.record["benchmarks"][benchmark].get("direction") == "minimize" else 1.0

    def seeds(self, benchmark: str, method: str) -> list[int]:
        """Seeds of the finished searches, ascending."""
        return self._seeds.get((benchmark, method), [])

    @cached_property
    def _seeds(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for benchmark, method, seed in sorted(self.searches):
            found.setdefault((benchmark, method), []).append(seed)
        return found

    @cached_property
    def several(self) -> bool:
        """Whether the searches had several objectives."""
        return any(search.losses.shape[1] for search in self.searches.values())

    @property
    def criterion(self) -> str:
        """The measure that methods are ranked and tested by."""
        return "hypervolume" if self.several else "validation"

    # -- numbers ---------------------------------------------------------------------------------------------------

    @cached_property
    def _volumes(self) -> dict[tuple[str, str, int], Array]:
        """Hypervolumes after each evaluation of every search with several objectives."""
        found: dict[tuple[str, str, int], Array] = {}
        for benchmark in self.benchmarks if self.several else ():
            measure = FrontMeasure.from_json(self.record["benchmarks"][benchmark].get("goals") or {})
            searches = {key: s for key, s in self.searches.items() if key[0] == benchmark and s.losses.shape[1]}
            front = measure.true
            if front is None:
                told = [search.losses[search.kept] for search in searches.values()]
                union = np.concatenate(told) if told else np.empty((0, 0))
                front = union[front_of(union)]
            if len(front):
                reference = reference_point(front)
                whole = hypervolume(front, reference)
                found |= {key: search.hypervolumes(reference, whole) for key, search in searches.items()}
        return found

    def curve(self, measure: str, key: tuple[str, str, int]) -> Array:
        """(n,) values of a measure after each evaluation of one search, NaN where unknown."""
        if measure == "hypervolume":
            return self._volumes.get(key, np.full(len(self.searches[key]), np.nan))
        return self.searches[key].curve(measure, self.record["benchmarks"][key[0]].get("optimum_validation"))

    def curves(self, measure: str, benchmark: str, method: str) -> Array:
        """(seeds, budget) values of a measure once so many full evaluations are spent."""
        counts: Array = np.arange(1.0, self.budget + 1) + ROUNDING
        rows = [
            self._curve_over("spent", counts, measure, (benchmark, method, s)) for s in self.seeds(benchmark, method)
        ]
        return np.array(rows).reshape(-1, self.budget)

    def _curve_over(self, column: str, places: Array, measure: str, key: tuple[str, str, int]) -> Array:
        """Values of a measure where a rising column has come to these places; NaN before its first value."""
        place = np.searchsorted(self.searches[key].columns[column], places, side="right") - 1
        return np.where(place < 0, np.nan, self.curve(measure, key)[place])

    def values(self, measure: str, benchmark: str, method: str, at: int) -> dict[int, float]:
        """By seed, the measure after `at` evaluations; unknown ones are left out."""
        found = self.curves(measure, benchmark, method)[:, at - 1]
        pairs = zip(self.seeds(benchmark, method), found, strict=True)
        return {seed: float(value) for seed, value in pairs if not math.isnan(value)}

    def curves_by_seconds(self, measure: str, benchmark: str, method: str, seconds: Array) -> Array:
        """(seeds, len(seconds)) values at times on the clock, NaN before the first completion or where none is kept."""
        rows = []
        for seed in self.seeds(benchmark, method):
            key = (benchmark, method, seed)
            if np.isnan(self.searches[key].columns["clock_s"]).any():
                rows.append(np.full(len(seconds), np.nan))
            else:
                rows.append(self._curve_over("clock_s", seconds, measure, key))
        return np.array(rows).reshape(-1, len(seconds))

    def duration_s(self, benchmark: str, method: str) -> float:
        """Median over seeds of the clock at the end, s; 0 where no costs are recorded."""
        ends = [
            float(self.searches[benchmark, method, seed].columns["clock_s"][-1])
            for seed in self.seeds(benchmark, method)
        ]
        median = float(np.median(ends)) if ends else 0.0
        return 0.0 if math.isnan(median) else median

    def to_optimum(self, benchmark: str, method: str) -> Array:
        """(seeds,) evaluations until the incumbent was the best of the table; infinite when it never was."""
        return self._until("regret", benchmark, method, lambda curve: curve <= 0)[0]

    def to_target(self, benchmark: str, method: str, target: float) -> tuple[Array, Array]:
        """(seeds,) evaluations, and seconds on the clock, until a target was met; infinite where it never was.

        The target is a regret, or with several objectives a share of the hypervolume. Seconds are NaN where there is no
        clock.
        """
        if self.several:
            return self._until("hypervolume", benchmark, method, lambda curve: curve >= target - 1e-9)
        return self._until("regret", benchmark, method, lambda curve: curve <= target + 1e-9)

    def _until(
        self, measure: str, benchmark: str, method: str, met: Callable[[Array], NDArray[np.bool_]]
    ) -> tuple[Array, Array]:
        """(seeds,) full evaluations and seconds until the curve of a measure meets a condition, infinite if never."""
        found = []
        for seed in self.seeds(benchmark, method):
            key = (benchmark, method, seed)
            places, columns = np.flatnonzero(met(self.curve(measure, key))), self.searches[key].columns
            found.append([columns[c][places[0]] if len(places) else np.inf for c in ("spent", "clock_s")])
        evaluations, seconds = np.array(found).reshape(-1, 2).T
        return evaluations, seconds

    def overhead_s(self, benchmark: str, method: str) -> Array:
        """(seeds,) mean real seconds that the method took to propose one trial."""
        return np.array(
            [
                float(np.mean(self.searches[benchmark, method, seed].columns["overhead_s"]))
                for seed in self.seeds(benchmark, method)
            ]
        )

    def failures(self, benchmark: str, method: str) -> int:
        """Failed evaluations, all seeds together."""
        return sum(
            int(np.isnan(self.searches[benchmark, method, seed].columns["validation"]).sum())
            for seed in self.seeds(benchmark, method)
        )

    def beyond_limits(self, benchmark: str, method: str) -> int:
        """Evaluations that broke a limit, all seeds together."""
        return sum(
            int((self.searches[benchmark, method, seed].columns["violation"] > 0).sum())
            for seed in self.seeds(benchmark, method)
        )

    def found(self, benchmark: str, method: str) -> list[tuple[int, str, float]]:
        """(seed, architecture, validation) of every search's last incumbent, best first."""
        rows = []
        for seed in self.seeds(benchmark, method):
            search = self.searches[benchmark, method, seed]
            place = int(search.incumbent[-1])
            if place >= 0:
                rows.append((seed, search.architecture[place], float(search.columns["validation"][place])))
        return sorted(rows, key=lambda row: (-self.sign(benchmark, "validation") * row[2], row[0]))
