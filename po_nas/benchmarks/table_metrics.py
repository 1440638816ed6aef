"""Recorded scores of a benchmark's architectures, as the metrics that a search method may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.rows import Rows
from po_nas.benchmarks.scores import ScoreTable, has_own, load, load_own, names
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture

__all__ = ["TableMetrics"]


class TableMetrics:
    """The scores of one benchmark, looked up by row; read on first use. Implements `po_nas.core.metrics.MetricSource`.

    Scores of our own where they come with the package, else published ones. Raises `MissingDataError` on first use
    where these have not been fetched.
    """

    computed = 0

    def __init__(self, benchmark: str, rows: Rows) -> None:
        self._benchmark, self._rows = benchmark, rows

    @classmethod
    def of(cls, benchmark: str, rows: Rows) -> TableMetrics | None:
        """The metrics of a benchmark, None where nobody has computed any."""
        return cls(benchmark, rows) if has_own(benchmark) or benchmark in names() else None

    @cached_property
    def _table(self) -> ScoreTable:
        return load_own(self._benchmark) if has_own(self._benchmark) else load(self._benchmark)

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that are recorded."""
        return self._table.names

    @property
    def origin(self) -> str:
        """Who computed the scores."""
        return self._table.source

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Scores (n, k), higher = expected to be better, NaN where there is none or the table lacks the row."""
        table = self._table
        for name in names:
            if name not in table.names:
                raise UnknownNameError(f"metric of {self._benchmark}", name, table.names)
        columns = np.array([table.names.index(name) for name in names], dtype=np.intp)
        rows = [self._rows.find(architecture) for architecture in architectures]
        known = np.array([row if row is not None else 0 for row in rows], dtype=np.intp)
        found = table.values[np.ix_(known, columns)] * table.signs[columns]
        found[[row is None for row in rows]] = np.nan
        return found
