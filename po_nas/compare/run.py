"""Running a comparison: every cell in a worker process, every finished cell kept, interrupted ones run again."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from po_nas import methods
from po_nas.compare.cell import for_the_reader, load_objective, run_cell
from po_nas.compare.design import Cell, ComparisonConfig
from po_nas.compare.fingerprint import fingerprints
from po_nas.compare.plan import Plan, make_plan
from po_nas.compare.store import COLUMNS, write_table
from po_nas.compare.trust import TRUST, explained, trust_key, trust_rows
from po_nas.errors import RunDirectoryError
from po_nas.runtime.parts import Parts
from po_nas.runtime.processes import processes
from po_nas.runtime.run_directory import RunDirectory

__all__ = ["Progress", "run_comparison"]

_log = logging.getLogger(__name__)

_EVERY_S = 20.0
"""Seconds between two writings of the partial results."""
_DEATHS = 4
"""Where so many searches end their processes before any other finishes, it is not for the searches."""


@dataclass(frozen=True)
class Progress:
    """How far a comparison is: searches done and to do, messages of those that failed, and what is to be known.

    `remarks` are of the benchmarks: left out, or without test values, and why.
    """

    done: int
    total: int
    failed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def run_comparison(
    config: ComparisonConfig, directory: Path, workers: int = 1, progress: Callable[[Progress], None] | None = None
) -> Path:
    """Run (or go on with) a comparison; the path of its ``results.parquet``, which is also kept up to date meanwhile.

    Everything is checked before the first search. With one worker searches run in this process, and one that ends it
    ends the comparison. Finished searches are kept and never run again; failed ones are run again in the next session.
    Raises `MissingDataError` when no benchmark has its data, `RunLockedError` when another process is at it.
    """
    if config.metrics.compute and config.metrics.cache is None:
        # All methods, seeds and processes share the scores.
        directory.mkdir(parents=True, exist_ok=True)
        kept = config.metrics.model_copy(update={"cache": str(directory / "scores.sqlite")})
        config = config.model_copy(update={"metrics": kept})
    plan = make_plan(config)
    with RunDirectory(directory):
        session = _Session(plan, directory, progress or (lambda _: None))
        session.tell()
        try:
            session.run(workers)
        finally:
            path = session.write()
        return path


class _Session:
    """What is done and failed so far, and the writing of it."""

    def __init__(self, plan: Plan, directory: Path, progress: Callable[[Progress], None]) -> None:
        self.plan, self.directory, self.progress = plan, directory, progress
        self.parts = Parts(directory)
        self.tables: dict[int, pa.Table] = {}
        self.failed: dict[int, str] = {}
        self._written = time.monotonic()
        for torn in self.parts.directory.glob("*.tmp"):
            # A session that was killed left it; nobody else is here, for the directory is ours.
            torn.unlink(missing_ok=True)
        for number, cell in enumerate(plan.cells):
            if cell.key in self.parts:
                self.tables[number] = _read(self.parts, cell)
        self.explained = [number for number, cell in enumerate(plan.cells) if explained(cell, plan.config)]

    def run(self, workers: int) -> None:
        # Seed by seed, so that what is there at any time can be compared in pairs; benchmark by benchmark, so that a
        # process loads each once.
        order = {name: position for position, name in enumerate(self.plan.benchmarks)}
        todo = sorted(
            {number for number in range(len(self.plan.cells)) if number not in self.tables}
            | {number for number in self.explained if trust_key(self.plan.cells[number]) not in self.parts},
            key=lambda number: (order[self.plan.cells[number].search.benchmark], self.plan.cells[number].search.seed),
        )
        if workers <= 1:
            with threadpool_limits(1):
                for number in todo:
                    self._settle(number, _attempt(self.plan.cells[number], self.directory, number in self.explained))
        else:
            self._run_in_processes(deque(todo), min(workers, len(todo)))

    def _run_in_processes(self, waiting: deque[int], workers: int) -> None:
        done, deaths = len(self.tables), 0
        while waiting:
            for number in self._until_a_worker_dies(waiting, workers):
                # Alone, so that it is known which of them a worker dies of; the others go on.
                if not self._until_a_worker_dies(deque([number]), 1):
                    continue
                if self.plan.cells[number].key in self.parts:
                    _log.warning("%s cannot say what it has learned: its process died", _words(self.plan.cells[number]))
                    self._settle(number, None)
                    continue
                self._settle(number, "its process died, perhaps for want of memory")
                deaths += 1
                if deaths >= _DEATHS and len(self.tables) == done:
                    raise RunDirectoryError(
                        self.directory,
                        f"{deaths} searches ended their process and no other has finished; what was finished before is "
                        "kept, run the same command again, with fewer --workers if memory is short",
                    )

    def _until_a_worker_dies(self, waiting: deque[int], workers: int) -> list[int]:
        """Run the searches, taken from the left; those that were sent when a worker died, else none."""
        running: dict[Future[str | None], int] = {}
        try:
            with processes(workers, self.plan.config.plugins) as pool:
                while waiting or running:
                    # Two more than there are workers: thousands of waiting ones would be sent at once otherwise.
                    while waiting and len(running) < workers + 2:
                        number = waiting[0]
                        cell, explain = self.plan.cells[number], number in self.explained
                        running[pool.submit(_attempt, cell, self.directory, explain)] = number
                        waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        error = future.result()
                        self._settle(running.pop(future), error)
        except BrokenProcessPool:
            return sorted(running.values())
        return []

    def _settle(self, number: int, error: str | None) -> None:
        cell = self.plan.cells[number]
        if error is None:
            self.tables[number] = _read(self.parts, cell)
        else:
            self.failed[number] = error
        if time.monotonic() - self._written > _EVERY_S:
            self.write()
        self.tell()

    def tell(self) -> None:
        failed = tuple(f"{_words(self.plan.cells[n])}: {message}" for n, message in self.failed.items())
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
        cells = [self.plan.cells[number] for number in self.explained]
        there = [cell for cell in cells if trust_key(cell) in self.parts]
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


def _words(cell: Cell) -> str:
    return f"{cell.label} on {cell.search.benchmark}, seed {cell.search.seed}"


def _read(parts: Parts, cell: Cell) -> pa.Table:
    """Its rows; test values and ranks that were not at hand when it ran are looked up."""
    table = _part(parts, cell, cell.key, COLUMNS)
    if not pc.all(pc.is_nan(table["test"])).as_py():
        return table
    columns = {name: table[name].to_pylist() for name in ("architecture", "validation")}
    objective = load_objective(cell.search.benchmark, cell.search.feedback, cell.search.metrics)
    if objective.optimum_test is None:
        return table
    found = [for_the_reader(objective, *row) for row in zip(*columns.values(), strict=True)]
    for name in ("test", "rank"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, COLUMNS.field(name), pa.array([row[name] for row in found], pa.float64()))
    return table


def _part(parts: Parts, cell: Cell, key: Mapping[str, Any], columns: pa.Schema) -> pa.Table:
    path = parts.directory / f"{parts.name(key)}.parquet"
    try:
        table = pq.read_table(path).select(columns.names).cast(columns)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise RunDirectoryError(path, f"is damaged ({error}); delete it and run the comparison again") from error
    # The label is the study's to choose, and may have changed since.
    place = table.schema.get_field_index("method")
    return table.set_column(place, columns.field("method"), pa.array([cell.label] * len(table), pa.string()))


def _attempt(cell: Cell, directory: Path, explain: bool) -> str | None:
    """Run a cell, unless it has been run, and keep its rows; the message of what it raised, or None."""
    parts = Parts(directory)
    if cell.key not in parts:
        if fingerprints(cell.search.plugins, methods.registry.get(cell.search.method.name)) != cell.code:
            return "a plug-in was edited after the study had begun; run the same command again"
        try:
            rows = run_cell(cell)
            if not rows:
                return "it proposed nothing"
        except (Exception, SystemExit) as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        parts.write(cell.key, rows)
    if explain and trust_key(cell) not in parts:
        try:
            parts.write(trust_key(cell), trust_rows(cell, _read(parts, cell)))
        except Exception:
            # The search is what counts; the next session asks again.
            _log.exception("%s cannot say what it has learned", _words(cell))
    return None
