"""Reading comparisons: searches, their incumbents, and the numbers that tables and figures are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas.compare.design import ComparisonConfig
from po_nas.compare.measures import MEASURES
from po_nas.compare.store import COLUMNS, read_table
from po_nas.compare.trust import Trust, trust_of
from po_nas.errors import ConfigError

__all__ = ["MIXED", "Search", "Study"]

Array = NDArray[np.float64]


MIXED = "mixed"
"""Stands for the executor or batch of a comparison whose runs had different ones; their labels say which."""


@dataclass(frozen=True)
class Search:
    """One search: (n,) columns over its evaluations, and which evaluation was the incumbent after each.

    `incumbent` (n,) holds indices, -1 before the first success; ties go to the earlier evaluation.
    """

    benchmark: str
    method: str
    seed: int
    architecture: tuple[str, ...]
    columns: Mapping[str, Array]
    incumbent: NDArray[np.int64]
    sign: float

    @classmethod
    def of(
        cls, benchmark: str, method: str, seed: int, sign: float, architecture: Sequence[str], columns: Any
    ) -> Search:
        """Find the incumbents; `sign` is -1 where lower validation is better."""
        oriented = np.where(np.isnan(columns["validation"]), -np.inf, sign * columns["validation"])
        best_before = np.maximum.accumulate(np.concatenate([[-np.inf], oriented[:-1]]))
        improved = oriented > best_before
        incumbent = np.maximum.accumulate(np.where(improved, np.arange(len(oriented)), -1))
        return cls(benchmark, method, seed, tuple(architecture), columns, incumbent.astype(np.int64), sign)

    def __len__(self) -> int:
        return len(self.architecture)

    def curve(self, measure: str, optimum: float | None) -> Array:
        """(n,) values of a measure after each evaluation, NaN where unknown."""
        if measure == "best_test_queried":
            test = np.where(np.isnan(self.columns["validation"]), np.nan, self.columns["test"])
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
        path = path / "results.parquet" if path.is_dir() else path
        table, record = read_table(path)
        trust = path.with_name("trust.parquet")
        return cls.of(table, record, trust_of(read_table(trust)[0]) if trust.exists() else ())

    def presented(self, config: ComparisonConfig) -> Study:
        """The same results under the name, reported evaluations, reference, notes and published numbers of `config`.

        Raises `ConfigError` where they are of another study: what was run differs, or ended before what is reported.
        """
        asked = config.model_dump(mode="json")
        for key in ("benchmarks", "methods", "feedback", "batch", "executor"):
            if asked[key] != self.config[key]:
                given = list(asked[key]) if key == "methods" else asked[key]
                raise ConfigError(key, given, "is not what these results are of; run it without --report-only")
        if config.reported[-1] > self.budget:
            raise ConfigError("at", config.reported[-1], f"is beyond the {self.budget} evaluations that were run")
        shown = {key: asked[key] for key in ("name", "notes", "published")}
        shown |= {"at": list(config.reported), "reference": config.baseline}
        return replace(self, record={**self.record, "config": {**self.config, **shown}})

    @classmethod
    def of(cls, table: pa.Table, record: Mapping[str, Any], trust: tuple[Trust, ...] = ()) -> Study:
        """Of a table of `store.COLUMNS`, in which the rows of a search are in the order of completion."""
        names = [name for name in COLUMNS.names if COLUMNS.field(name).type == pa.float64()]
        floats = {name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in names}
        benchmark, method = (table[name].to_pylist() for name in ("benchmark", "method"))
        seed, architecture = table["seed"].to_pylist(), table["architecture"].to_pylist()
        places: dict[tuple[str, str, int], list[int]] = {}
        for place, key in enumerate(zip(benchmark, method, seed, strict=True)):
            places.setdefault(key, []).append(place)
        searches = {}
        for key, found in places.items():
            sign = -1.0 if record["benchmarks"][key[0]].get("direction") == "minimize" else 1.0
            columns = {name: column[found] for name, column in floats.items()}
            searches[key] = Search.of(*key, sign, [architecture[place] for place in found], columns)
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

    @property
    def budget(self) -> int:
        """Evaluations of each search."""
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

    # -- numbers ---------------------------------------------------------------------------------------------------

    def curves(self, measure: str, benchmark: str, method: str) -> Array:
        """(seeds, budget) values of a measure after each evaluation."""
        optimum = self.record["benchmarks"][benchmark].get("optimum_validation")
        rows = []
        for seed in self.seeds(benchmark, method):
            curve = self.searches[benchmark, method, seed].curve(measure, optimum)[: self.budget]
            rows.append(np.concatenate([curve, np.full(self.budget - len(curve), curve[-1])]))
        return np.array(rows).reshape(-1, self.budget)

    def values(self, measure: str, benchmark: str, method: str, at: int) -> dict[int, float]:
        """By seed, the measure after `at` evaluations; unknown ones are left out."""
        found = self.curves(measure, benchmark, method)[:, at - 1]
        pairs = zip(self.seeds(benchmark, method), found, strict=True)
        return {seed: float(value) for seed, value in pairs if not math.isnan(value)}

    def curves_by_seconds(self, measure: str, benchmark: str, method: str, seconds: Array) -> Array:
        """(seeds, len(seconds)) values at times on the clock, NaN before the first completion or where none is kept."""
        optimum = self.record["benchmarks"][benchmark].get("optimum_validation")
        rows = []
        for seed in self.seeds(benchmark, method):
            search = self.searches[benchmark, method, seed]
            curve, clock = search.curve(measure, optimum), search.columns["clock_s"]
            if np.isnan(clock).any():
                rows.append(np.full(len(seconds), np.nan))
                continue
            place = np.searchsorted(clock, seconds, side="right") - 1
            rows.append(np.where(place < 0, np.nan, curve[place]))
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
        hit = self.curves("regret", benchmark, method) <= 0
        return np.where(hit.any(axis=1), 1.0 + hit.argmax(axis=1), np.inf)

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

    def found(self, benchmark: str, method: str) -> list[tuple[int, str, float]]:
        """(seed, architecture, validation) of every search's last incumbent, best first."""
        rows = []
        for seed in self.seeds(benchmark, method):
            search = self.searches[benchmark, method, seed]
            place = int(search.incumbent[-1])
            if place >= 0:
                rows.append((seed, search.architecture[place], float(search.columns["validation"][place])))
        return sorted(rows, key=lambda row: (-self.sign(benchmark, "validation") * row[2], row[0]))
