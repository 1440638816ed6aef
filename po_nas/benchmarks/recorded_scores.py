"""Which recorded proxy scores of a table's architectures are used: of po-nas, published, or of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from po_nas import benchmarks, spaces
from po_nas.benchmarks.base import Benchmark
from po_nas.core.objective import Objective
from po_nas.errors import ConfigError, DataError
from po_nas.proxy_scores.packaged import OwnScores
from po_nas.proxy_scores.table import RecordedProxies, ScoreTable
from po_nas.spaces.base import Architecture

__all__ = ["chosen_proxies", "in_rows", "scored_architectures", "task_of", "with_isomorphic"]


def chosen_proxies(objective: Objective, scores: str) -> RecordedProxies:
    """The proxies of a table by ``own`` or ``published`` scores, or by those of a file of ``po-nas proxies tabulate``.

    All of them are used by searches. Where an architecture has no score and an isomorphic one has, it gets that one's
    mean: the two are one network with other weights.

    Raises `ConfigError` for an objective that is no table, a table without such scores, and a file that has none of its
    architectures; `DataError` for a file that holds no scores, `MissingDataError` where the scores are not here.
    """
    if not isinstance(objective, Benchmark):
        raise ConfigError("proxies.scores", scores, f"are of tables, and {objective.name} is none; leave it out")
    if scores in benchmarks.ORIGINS:
        if scores not in objective.scores:
            known = ", ".join(objective.scores) or "none"
            raise ConfigError("proxies.scores", scores, f"are not those of {objective.name}, which has: {known}")
        table = objective.score_table(scores)
    else:
        found = in_rows(OwnScores.read(scores), objective, file=Path(scores).name)
        if found is None:
            raise ConfigError("proxies.scores", scores, f"has no scores of the architectures of {objective.name}")
        table = found
    # Who asks for a table asks for all of it.
    return RecordedProxies(objective.rows, replace(with_isomorphic(objective, table), further=frozenset()))


def scored_architectures(scores: OwnScores) -> list[Architecture]:
    """The architectures of a table that ``po-nas proxies tabulate`` wrote, in its order.

    Raises `MissingDataError` where they are those of a benchmark whose data are not here, `DataError` where it has
    another number of them.
    """
    made, space = scores.made_by, spaces.get(scores.space)
    if "architectures" in made:
        return [space.from_string(text) for text in made["architectures"]]
    named = made["recipe"].get("benchmark")
    found = list((space if named is None else benchmarks.get(named).space).enumerate())
    if len(found) != len(scores.classes):
        raise DataError(f"scores of {len(scores.classes):,} architectures, expected {len(found):,}; compute them again")
    return found


def task_of(scores: OwnScores, benchmark: str) -> str | None:
    """The task of such a table that stands for a benchmark: its only one, or the one of that name; None without any."""
    task = benchmark.rpartition("/")[2]
    return next(iter(scores.tasks)) if len(scores.tasks) == 1 else task if task in scores.tasks else None


def in_rows(scores: OwnScores, benchmark: Benchmark, least: int = 1, file: str = "") -> ScoreTable | None:
    """The scores of such a table in the order of a benchmark's rows, NaN where there is none.

    None where it has no task that stands for the benchmark, or fewer than `least` of its architectures. `file` is where
    it was read. Raises what `scored_architectures` raises.
    """
    task = task_of(scores, benchmark.name)
    if task is None or scores.space != benchmark.space.name:
        return None
    found = [benchmark.rows.find(architecture) for architecture in scored_architectures(scores)]
    rows = {k: row for k, row in enumerate(found) if row is not None}
    if len(rows) < least:
        return None
    columns = {name: np.full(len(benchmark.rows), np.nan) for name in sorted(scores.tasks[task])}
    for name, column in columns.items():
        column[list(rows.values())] = scores.column(task, name)[list(rows)]
    return scores.score_table(benchmark.name, columns, file=file)


def with_isomorphic(benchmark: Benchmark, table: ScoreTable) -> ScoreTable:
    """A table in which architectures without a score have the mean of those that are isomorphic to them."""
    known = np.isfinite(table.values)
    partly = np.flatnonzero(known.any(axis=0) & ~known.all(axis=0))
    if not len(partly):
        return table
    space, rows = benchmark.space, benchmark.rows
    keys = np.array([space.canonical(rows.architecture(row)) for row in range(len(rows))])
    belongs = np.unique(keys, return_inverse=True)[1]
    values = table.values.copy()
    for column in partly:
        values[:, column] = _filled(values[:, column], belongs)
    note = "an architecture without a score has the mean of those that are isomorphic to it"
    return replace(table, values=values, notes=(*table.notes, note))


def _filled(column: NDArray[np.float64], belongs: NDArray[np.intp]) -> NDArray[np.float64]:
    """A column (rows,) whose gaps have the mean of their class; NaN where all of a class lack it."""
    known, classes = np.isfinite(column), int(belongs.max()) + 1
    counts = np.bincount(belongs[known], minlength=classes)
    sums = np.bincount(belongs[known], column[known], minlength=classes)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    found: NDArray[np.float64] = np.where(known, column, means[belongs])
    return found
