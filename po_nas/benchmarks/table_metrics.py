"""Recorded scores of a benchmark's architectures, as the metrics that a search method may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.rows import Rows
from po_nas.benchmarks.scores import ScoreTable, has_own, load, load_own, names
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture
from po_nas.spaces.graph_leaves import graph_leaves
from proxies.evolved.metric import EvolvedMetric, evolved_metric, evolved_over

__all__ = ["TableMetrics"]


class TableMetrics:
    """The scores of one benchmark, looked up by row; read on first use.

    Scores of our own where they come with the package, else published ones. Registered evolved metrics whose leaves
    are recorded are offered as well, seen against a reference that is fitted on the whole table (its scores, nobody's
    accuracies). Raises `MissingDataError` on first use where the scores have not been fetched.
    """

    computed = 0

    def __init__(self, benchmark: str, rows: Rows) -> None:
        self._benchmark, self._rows = benchmark, rows
        self._whole: dict[EvolvedMetric, NDArray[np.float64]] = {}

    @classmethod
    def of(cls, benchmark: str, rows: Rows) -> TableMetrics | None:
        """The metrics of a benchmark, None where nobody has computed any."""
        return cls(benchmark, rows) if has_own(benchmark) or benchmark in names() else None

    @cached_property
    def _table(self) -> ScoreTable:
        return load_own(self._benchmark) if has_own(self._benchmark) else load(self._benchmark)

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that are recorded, and the evolved metrics that they suffice for."""
        recorded = self._table.names
        return (*recorded, *(name for name in evolved_over(recorded) if name not in recorded))

    @property
    def origin(self) -> str:
        """Who computed the scores."""
        return self._table.source

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Scores (n, k), higher = expected to be better, NaN where there is none or the table lacks the row."""
        table, offered = self._table, self.names
        for name in names:
            if name not in offered:
                raise UnknownNameError(f"metric of {self._benchmark}", name, offered)
        rows = [self._rows.find(architecture) for architecture in architectures]
        known = np.array([row if row is not None else 0 for row in rows], dtype=np.intp)
        found = np.empty((len(known), len(names)))
        for place, name in enumerate(names):
            if name in table.names:
                column = table.names.index(name)
                found[:, place] = table.values[known, column] * table.signs[column]
            else:
                found[:, place] = self._evolved(name)[known]
        found[[row is None for row in rows]] = np.nan
        return found

    def _evolved(self, name: str) -> NDArray[np.float64]:
        """An evolved metric of all rows."""
        metric = evolved_metric(name)
        if metric not in self._whole:
            columns = {leaf: self._table.column(leaf) for leaf in metric.proxies}
            graph = [leaf for leaf in metric.leaves if leaf not in columns]
            if graph:
                every = [self._rows.architecture(row) for row in range(len(self._rows))]
                space = spaces.get(every[0].space)
                features = graph_leaves(space, every)
                columns |= {leaf: features[leaf] for leaf in graph}
            self._whole[metric] = metric.fitted(columns)
        return self._whole[metric]
