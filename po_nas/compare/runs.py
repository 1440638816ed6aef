"""Ordinary run directories read as a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from po_nas import benchmarks
from po_nas.compare.cell import Row, event_rows, objective_of
from po_nas.compare.plan import optima
from po_nas.compare.results import MIXED, Study
from po_nas.compare.store import COLUMNS
from po_nas.compare.trust import TRUST, incumbent_rows, trust_of
from po_nas.core.fidelities import ROUNDING, Fidelities
from po_nas.core.objective import Objective
from po_nas.core.settings import flat
from po_nas.errors import DataError, PoNasError, RunDirectoryError
from po_nas.runtime.config import ProxiesConfig
from po_nas.runtime.front import FrontMeasure
from po_nas.runtime.journal import Event, read_journal
from po_nas.runtime.run_directory import Record, read_config, read_explanation, read_record
from po_nas.runtime.setup import make_objective
from po_nas.runtime.trusted_plugins import Trust, load_named

__all__ = ["read_runs"]

_TOLD_APART = ("batch", "executor", "proxies", "warm_start")
"""Settings that make a run another method where runs differ in them."""


@dataclass(frozen=True)
class _Run:
    """A run directory: its settings, events and what its benchmark knows for the reader."""

    directory: Path
    record: Record
    events: Sequence[Event]
    objective: Objective | None

    @property
    def search(self) -> Mapping[str, Any]:
        return self.record.config.model_dump(mode="json")

    @property
    def options(self) -> dict[str, Any]:
        return {key: value for key, value in self.search["method"].items() if key != "name"}

    @cached_property
    def rows(self) -> list[Row]:
        goals = FrontMeasure.from_json(self.record.goals).goals
        return event_rows(self.events, self.objective, goals, Fidelities.of(self.record.fidelities))

    @property
    def evaluations(self) -> int:
        """Full evaluations, of which those at lower fidelities are shares; a begun one does not count.

        A run that ended has spent its budget where nothing that may be asked for fits in what is left of it.
        """
        planned = self.record.config.budget.max_evaluations
        if self.record.fidelities and self.ended and planned is not None:
            return planned
        return int(self.rows[-1]["spent"] + ROUNDING) if self.rows else 0

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1]["event"] == "end"

    def protocol(self) -> dict[str, Any]:
        optimum = self.record.optimum
        known = {"optimum_validation": optimum.get("validation"), "optimum_test": optimum.get("test")}
        return {**self.record.protocol, **known} | ({"goals": self.record.goals} if self.record.goals else {})


def read_runs(directories: Sequence[Path], trust: Trust = False) -> Study:
    """A comparison of run directories, after as many evaluations as all of them have.

    A method is called by its name, the options it was given, and the settings in which the runs differ (batch,
    executor, proxies, warm start). Test values and ranks are looked up where the benchmark is at hand. Plug-ins that
    the runs name are imported; `trust` imports those, too, that are not known here. Raises `UntrustedPluginError`, and
    `RunDirectoryError` when two runs are of one benchmark, method and seed, and when runs of a benchmark were told
    different things (another feedback, other trainings).
    """
    runs = [_read(directory, trust) for directory in directories]
    differing = [key for key in _TOLD_APART if any(_set(run, key) != _set(runs[0], key) for run in runs)]
    rows: list[Row] = []
    learned: list[dict[str, Any]] = []
    protocols: dict[str, Any] = {}
    seen: dict[tuple[str, str, int], _Run] = {}
    for run in runs:
        key = (str(run.search["benchmark"]), _label(run, differing), int(run.search["seed"]))
        if key in seen:
            raise RunDirectoryError(
                run.directory,
                f"is {key[1]} on {key[0]} with seed {key[2]}, and so is {seen[key].directory}; give one of them",
            )
        protocol = run.protocol()
        _check_alike(run.directory, protocols.setdefault(key[0], protocol), protocol)
        if run.evaluations:
            seen[key] = run
    if not seen:
        raise RunDirectoryError(Path(), "no run directory with a finished evaluation was given")
    shortest = min(run.evaluations for run in seen.values())
    for key, run in seen.items():
        of = dict(zip(("benchmark", "method", "seed"), key, strict=True))
        compared = [row for row in run.rows if row["spent"] <= shortest + ROUNDING]
        rows += [{**of, **row} for row in compared]
        if len(compared) == len(run.rows):
            # What a longer one has learned is of another incumbent than the one that is compared.
            learned += incumbent_rows(*key, read_explanation(run.directory))
        if run.objective is not None:
            known = {name: value for name, value in optima(run.objective).items() if value is not None}
            protocols[key[0]] = protocols[key[0]] | known
    record = {
        "config": _config(seen, differing),
        "options": {label: run.options for (_, label, _), run in seen.items()},
        "benchmarks": protocols,
        "missing": {},
        "versions": runs[-1].record.versions,
        "failed": [],
        "finished": sum(run.ended for run in runs),
        "searches": len(runs),
    }
    table = pa.Table.from_pylist(rows, schema=COLUMNS)
    return Study.of(table, record, trust_of(pa.Table.from_pylist(learned, schema=TRUST)))


def _read(directory: Path, trust: Trust) -> _Run:
    record = read_record(directory)
    load_named(record.config.plugins, directory / "config.yaml", trust)
    journal = directory / "journal.jsonl"
    return _Run(directory, record, read_journal(journal).events if journal.exists() else (), _objective(directory))


def _set(run: _Run, key: str) -> Any:
    """A setting as far as it matters to a result; where scores are kept does not."""
    value = run.search.get(key)
    if key == "executor":
        return (value or {}).get("name", "inline")
    if key == "proxies":
        return tuple((value or {}).get("compute") or ())
    return value or (1 if key == "batch" else ())


def _label(run: _Run, differing: Sequence[str]) -> str:
    described = [f"{key}={value}" for key, value in run.options.items()]
    for key in differing:
        value = _set(run, key)
        if key == "warm_start":
            described += ["warm start"] * bool(value)
        elif key == "proxies":
            described += [f"proxies={'+'.join(value)}"] * bool(value)
        else:
            described.append(f"{key}={value}")
    return str(run.search["method"]["name"]) + (f" ({', '.join(described)})" if described else "")


def _config(seen: Mapping[tuple[str, str, int], _Run], differing: Sequence[str]) -> dict[str, Any]:
    """What the configuration of a study would say."""
    lengths = [run.evaluations for run in seen.values()]
    planned = {run.search["budget"].get("max_evaluations") for run in seen.values()}
    notes = []
    if len(set(lengths)) > 1:
        notes.append(
            f"The runs have {min(lengths)} to {max(lengths)} evaluations and are compared after {min(lengths)}, which "
            "all of them have; leave the shortest out to compare after more."
        )
    if len(planned) > 1:
        each = ", ".join([str(n) for n in sorted(n for n in planned if n)] + ["no limit"] * (None in planned))
        notes.append(f"They were planned for different numbers of evaluations ({each}), and methods plan by that.")
    first = next(iter(seen.values())).search
    return {
        "name": "runs",
        "methods": {label: {"name": run.search["method"]["name"]} for (_, label, _), run in seen.items()},
        "seeds": sorted({seed for _, _, seed in seen}),
        "budget": min(lengths),
        "at": [],
        "batch": MIXED if "batch" in differing else int(first.get("batch", 1)),
        "executor": {"name": MIXED} if "executor" in differing else first.get("executor", {"name": "inline"}),
        "feedback": None,
        "objectives": first.get("objectives", {}),
        "constraints": first.get("constraints", {}),
        "targets": [],
        "reference": "",
        "notes": " ".join(notes),
        "published": [],
    }


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
        if benchmarks.trains(config.benchmark) or config.proxies.objective is not None:
            return make_objective(config, directory)  # its trainings or scores are on record there
        return objective_of(config.model_copy(update={"proxies": ProxiesConfig()}))
    except (PoNasError, DataError):
        return None
