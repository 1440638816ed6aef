"""Running a comparison: every cell in a worker process, every finished cell kept, interrupted ones run again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from po_nas import methods
from po_nas.compare.cell import for_the_reader, objective_of, run_cell
from po_nas.compare.design import Cell, ComparisonConfig
from po_nas.compare.fingerprint import fingerprints
from po_nas.compare.plan import Plan, make_plan
from po_nas.compare.store import COLUMNS, cast, write_table
from po_nas.compare.trust import TRUST, explained, trust_key, trust_rows
from po_nas.runtime.parts import Parts
from po_nas.runtime.study import Progress, open_study, run_parts

__all__ = ["run_comparison"]

_log = logging.getLogger(__name__)

_EVERY_S = 20.0
"""Seconds between two writings of the partial results."""


def run_comparison(
    config: ComparisonConfig, directory: Path, workers: int = 1, progress: Callable[[Progress], None] | None = None
) -> Path:
    """Run (or go on with) a comparison; the path of its ``results.parquet``, which is also kept up to date meanwhile.

    Everything is checked before the first search. With one worker searches run in this process, and one that ends it
    ends the comparison. Finished searches are kept and never run again; failed ones are run again in the next session.
    Raises `MissingDataError` when no benchmark has its data, `RunLockedError` when another process is at it.
    """
    if config.proxies.compute and config.proxies.cache is None:
        # All methods, seeds and processes share the scores.
        directory.mkdir(parents=True, exist_ok=True)
        kept = config.proxies.model_copy(update={"cache": str(directory / "scores.sqlite")})
        config = config.model_copy(update={"proxies": kept})
    plan = make_plan(config)
    with open_study(directory) as parts:
        session = _Session(plan, directory, parts, progress or (lambda _: None))
        session.tell()
        try:
            session.run(workers)
        finally:
            path = session.write()
        return path


class _Session:
    """What is done and failed so far, and the writing of it."""

    def __init__(self, plan: Plan, directory: Path, parts: Parts, progress: Callable[[Progress], None]) -> None:
        self.plan, self.directory, self.parts, self.progress = plan, directory, parts, progress
        self.numbers = {cell.title: number for number, cell in enumerate(plan.cells)}
        self.tables: dict[int, pa.Table] = {}
        self.failed: dict[int, str] = {}
        self._written = time.monotonic()
        for number, cell in enumerate(plan.cells):
            if cell.key in parts:
                self.tables[number] = _read(parts, cell)
        self.explained = [cell for cell in plan.cells if explained(cell, plan.config)]

    def run(self, workers: int) -> None:
        # Seed by seed, so that what is there at any time can be compared in pairs; benchmark by benchmark, so that a
        # process loads each once.
        order = {name: position for position, name in enumerate(self.plan.benchmarks)}
        mute = {cell.title for cell in self.explained if trust_key(cell) not in self.parts}
        todo = [cell for n, cell in enumerate(self.plan.cells) if n not in self.tables or cell.title in mute]
        todo.sort(key=lambda cell: (order[cell.search.benchmark], cell.search.seed))
        work = partial(_attempt, directory=self.directory, config=self.plan.config)
        run_parts(todo, work, self.parts, self._settle, workers=workers, plugins=self.plan.config.plugins)

    def _settle(self, cell: Cell, error: str | None) -> None:
        number = self.numbers[cell.title]
        if error is None:
            self.tables[number] = _read(self.parts, cell)
        else:
            self.failed[number] = error
        if time.monotonic() - self._written > _EVERY_S:
            self.write()
        self.tell()

    def tell(self) -> None:
        failed = tuple(f"{self.plan.cells[n].title}: {message}" for n, message in self.failed.items())
        done = len(self.tables) + len(self.failed)
        self.progress(Progress(done, len(self.plan.cells), failed, self.plan.remarks))

    def write(self) -> Path:
        """Everything finished so far as one table, in the order of the cells."""
        tables = [self.tables[number] for number in sorted(self.tables)]
        table = pa.concat_tables(tables) if tables else COLUMNS.empty_table()
        record = dict(self.plan.record) | {"failed": [self._failure(n) for n in sorted(self.failed)]}
        path = self.directory / "results.parquet"
        write_table(path, table, record | {"finished": len(self.tables), "searches": len(self.plan.cells)})
        self._write_trust()
        self._written = time.monotonic()
        return path

    def _write_trust(self) -> None:
        there = [cell for cell in self.explained if trust_key(cell) in self.parts]
        if there:
            tables = [_part(self.parts, cell, trust_key(cell), TRUST) for cell in there]
            write_table(self.directory / "trust.parquet", pa.concat_tables(tables), {})

    def _failure(self, number: int) -> Mapping[str, Any]:
        cell = self.plan.cells[number]
        return {
            "benchmark": cell.search.benchmark,
            "method": cell.label,
            "seed": cell.search.seed,
            "error": self.failed[number],
        }


def _read(parts: Parts, cell: Cell) -> pa.Table:
    """Its rows; test values and ranks that were not at hand when it ran are looked up."""
    table = _part(parts, cell, cell.key, COLUMNS)
    if not pc.all(pc.is_nan(table["test"])).as_py():
        return table
    columns = [table[name].to_pylist() for name in ("architecture", "validation")]
    full = pc.is_null(table["fidelity"]).to_pylist()
    objective = objective_of(cell.search)
    if objective.optimum_test is None:
        return table
    rows = zip(full, *columns, strict=True)
    found = [for_the_reader(objective if whole else None, *row) for whole, *row in rows]
    for name in ("test", "rank"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, COLUMNS.field(name), pa.array([row[name] for row in found], pa.float64()))
    return table


def _part(parts: Parts, cell: Cell, key: Mapping[str, Any], columns: pa.Schema) -> pa.Table:
    table = cast(parts.read(key), columns, parts.path(key))
    # The label is the study's to choose, and may have changed since.
    place = table.schema.get_field_index("method")
    return table.set_column(place, columns.field("method"), pa.array([cell.label] * len(table), pa.string()))


def _attempt(cell: Cell, directory: Path, config: ComparisonConfig) -> str | None:
    """Run a cell, unless it has been run, and keep its rows; why it failed, or None."""
    parts = Parts(directory)
    if cell.key not in parts:
        if fingerprints(cell.search.plugins, methods.registry.get(cell.search.method.name)) != cell.code:
            return "a plug-in was edited after the study had begun; run the same command again"
        rows = run_cell(cell)
        if not rows:
            return "it proposed nothing"
        parts.write(cell.key, rows)
    if explained(cell, config) and trust_key(cell) not in parts:
        try:
            parts.write(trust_key(cell), trust_rows(cell, _read(parts, cell)))
        except Exception:
            # The search is what counts; the next session asks again.
            _log.exception("%s cannot say what it has learned", cell.title)
    return None
