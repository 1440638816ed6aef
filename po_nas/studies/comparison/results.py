"""Reading comparisons: searches, their incumbents, and the numbers that tables and figures are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas import benchmarks
from po_nas.core.api import make_objective
from po_nas.core.config import MetricsConfig
from po_nas.core.journal import read_journal
from po_nas.core.objective import Objective
from po_nas.core.run_directory import read_config, read_explanation, read_record
from po_nas.core.settings import flat
from po_nas.errors import DataError, PoNasError, RunDirectoryError
from po_nas.registry import load_plugin
from po_nas.studies.comparison.cell import event_rows, load_objective
from po_nas.studies.comparison.measures import MEASURES
from po_nas.studies.comparison.store import COLUMNS, read_table
from po_nas.studies.comparison.trust import TRUST, Trust, incumbent_rows, trust_of

__all__ = ["Search", "Study"]

Array = NDArray[np.float64]


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
            return self.sign * np.fmax.accumulate(self.sign * self.columns["test"])
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
        return cls._of(table, record, trust_of(read_table(trust)[0]) if trust.exists() else ())

    @classmethod
    def of_runs(cls, directories: Sequence[Path]) -> Study:
        """Read ordinary run directories; a method is called by its name and the options it was given.

        Test values and ranks are looked up where the benchmark is at hand. Raises `RunDirectoryError` when two runs are
        of one benchmark, method and seed, and when runs of a benchmark were told different things (another feedback,
        other trainings).
        """
        rows: list[dict[str, Any]] = []
        protocols: dict[str, Any] = {}
        seen: dict[tuple[str, str, int], Path] = {}
        settings: list[Mapping[str, Any]] = []
        options: dict[str, Any] = {}
        versions: Mapping[str, str] = {}
        learned: list[dict[str, Any]] = []
        for directory in directories:
            record = read_record(directory)
            search = record["search"]
            for plugin in search.get("plugins", ()):
                load_plugin(plugin)
            given = {key: value for key, value in search["method"].items() if key != "name"}
            described = ", ".join(f"{key}={value}" for key, value in given.items())
            label = search["method"]["name"] + (f" ({described})" if described else "")
            key = (search["benchmark"], label, int(search["seed"]))
            if key in seen:
                raise RunDirectoryError(
                    directory, f"is {label} on {key[0]} with seed {key[2]}, and so is {seen[key]}; give one of them"
                )
            seen[key] = directory
            objective = _objective(directory)
            journal = directory / "journal.jsonl"
            events = read_journal(journal).events if journal.exists() else ()
            rows += [
                {"benchmark": key[0], "method": label, "seed": key[2], **row} for row in event_rows(events, objective)
            ]
            learned += incumbent_rows(*key, read_explanation(directory))
            optimum = record.get("optimum", {})
            protocol = record.get("protocol", {}) | {
                "optimum_validation": optimum.get("validation"),
                "optimum_test": optimum.get("test"),
            }
            _check_alike(directory, protocols.setdefault(key[0], protocol), protocol)
            settings.append(search)
            options[label] = given
            versions = record.get("versions", {})
        if not rows:
            raise RunDirectoryError(Path(), "no run directory with a finished evaluation was given")
        table = pa.Table.from_pylist(rows, schema=COLUMNS)
        budget = max(int(found["evaluation"]) for found in rows)
        config = {
            "name": "runs",
            "methods": {label: {"name": label.partition(" ")[0]} for label in options},
            "seeds": sorted({key[2] for key in seen}),
            "budget": budget,
            "at": [],
            "batch": max(int(s.get("batch", 1)) for s in settings),
            "executor": settings[0].get("executor", {"name": "inline"}),
            "feedback": None,
            "reference": "",
            "notes": "",
            "published": [],
        }
        return cls._of(
            table,
            {"config": config, "options": options, "benchmarks": protocols, "missing": {}, "versions": versions}
            | {"failed": [], "finished": len(seen), "searches": len(seen)},
            trust_of(pa.Table.from_pylist(learned, schema=TRUST)),
        )

    @classmethod
    def _of(cls, table: pa.Table, record: Mapping[str, Any], trust: tuple[Trust, ...] = ()) -> Study:
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


def _check_alike(directory: Path, first: Mapping[str, Any], protocol: Mapping[str, Any]) -> None:
    theirs, own = flat(first), flat(protocol)
    for key in (*theirs, *own):
        if theirs.get(key) != own.get(key):
            raise RunDirectoryError(
                directory,
                f"cannot be compared with other runs of the same benchmark: {key} is {own.get(key)}, theirs "
                f"{theirs.get(key)}",
            )


def _objective(directory: Path) -> Objective | None:
    """What a run directory searched: it knows test values. None where its data are not here."""
    config = read_config(directory)
    try:
        if benchmarks.trains(config.benchmark):
            return make_objective(config, directory)  # its trainings are on record there
        return load_objective(config.benchmark, config.feedback, MetricsConfig())
    except (PoNasError, DataError):
        return None
