"""Recorded proxy scores: a table of them, and a source that looks them up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from po_nas import spaces
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import DataError, UnknownNameError
from po_nas.spaces.base import Architecture
from po_nas.spaces.graph_leaves import graph_leaves
from proxies.evolved.proxy import EvolvedProxy, evolved_over, evolved_proxy

__all__ = ["RecordedProxies", "Rows", "ScoreTable"]


@dataclass(frozen=True)
class ScoreTable:
    """Proxy scores of the architectures of a benchmark.

    `values` (rows, k) in the order of the benchmark's rows and of `names`, NaN where there is no score; `seconds`
    (rows, k) what each took when it was published, NaN where that was not recorded. Parameters and FLOPs are in
    millions. `directions` (k) are 1, or −1 where lower is expected to be better; empty means all 1. `further` are names
    that searches use only where they are asked for.
    """

    benchmark: str
    names: tuple[str, ...]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    source: str
    notes: tuple[str, ...]
    directions: tuple[int, ...] = ()
    further: frozenset[str] = frozenset()

    @property
    def signs(self) -> NDArray[np.float64]:
        """What turns each score so that higher is expected to be better, (k,): 1, or −1 where lower is better."""
        return np.array(self.directions or (1,) * len(self.names), dtype=np.float64)

    @property
    def coverage(self) -> dict[str, float]:
        """The share of rows that have each score, 0 to 1."""
        shares = np.isfinite(self.values).mean(axis=0)
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}

    def column(self, name: str) -> NDArray[np.float64]:
        """One score, (rows,); `UnknownNameError` with the nearest name."""
        if name not in self.names:
            raise UnknownNameError(f"score of {self.benchmark}", name, self.names)
        return self.values[:, self.names.index(name)]


class Rows(Protocol):
    """The order of a table."""

    def find(self, architecture: Architecture) -> int | None:
        """Row of an architecture, None when the table does not hold it."""

    def architecture(self, row: int) -> Architecture:
        """An architecture of that row."""

    def __len__(self) -> int:
        """Number of rows."""


class RecordedProxies(ProxySource):
    """The scores of a table, looked up by row.

    Registered evolved proxies whose leaves are recorded are offered as well, seen against a reference that is fitted on
    the whole table (its scores, nobody's accuracies).

    Args:
        rows: Finds the row of an architecture; an architecture without one has no score.
        table: The scores, or what reads them on first use, which may raise `MissingDataError` then.

    Examples:
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> convolutions = [float(sum(o in (2, 3) for o in a.code)) for a in space.enumerate()]
        >>> rows = po_nas.EnumerationRows(space)
        >>> scores = po_nas.RecordedProxies.of(rows, {"convolutions": convolutions}, origin="counted")
        >>> scores.raw([space.at(0), space.at(15624 // 2)], ["convolutions"])["convolutions"].tolist()
        [0.0, 6.0]
    """

    def __init__(self, rows: Rows, table: ScoreTable | Callable[[], ScoreTable]) -> None:
        self._rows, self._given = rows, table
        self._whole: dict[EvolvedProxy, NDArray[np.float64]] = {}

    @classmethod
    def of(
        cls,
        rows: Rows,
        columns: Mapping[str, ArrayLike],
        origin: str,
        directions: Mapping[str, int] | None = None,
    ) -> RecordedProxies:
        """Of columns (rows,) by name, NaN where there is no score.

        `origin` says who computed them, `directions` has −1 for proxies of which lower is better. Raises `DataError`
        for a column of another length.
        """
        for name, column in columns.items():
            if np.shape(column) != (len(rows),):
                raise DataError(f"proxy score {name!r} has shape {np.shape(column)}, expected ({len(rows)},)")
        values = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)
        signs = tuple((directions or {}).get(name, 1) for name in columns)
        return cls(rows, ScoreTable(origin, tuple(columns), values, np.full(values.shape, np.nan), origin, (), signs))

    @cached_property
    def table(self) -> ScoreTable:
        """The scores as they were recorded."""
        return self._given if isinstance(self._given, ScoreTable) else self._given()

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that are recorded, and the evolved proxies that they suffice for."""
        recorded = self.table.names
        return (*recorded, *(name for name in evolved_over(recorded) if name not in recorded))

    @property
    def origin(self) -> str:
        return self.table.source

    @property
    def directions(self) -> Mapping[str, int]:
        """Those of the table; evolved proxies need no turning."""
        return dict(zip(self.table.names, self.table.directions, strict=False))

    @property
    def further(self) -> frozenset[str]:
        return self.table.further

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        rows = [self._rows.find(architecture) for architecture in architectures]
        known = np.array([row if row is not None else 0 for row in rows], dtype=np.intp)
        absent = np.array([row is None for row in rows], dtype=bool)
        columns = {n: self.table.column(n) if n in self.table.names else self._evolved(n) for n in names}
        return {name: np.where(absent, np.nan, column[known]) for name, column in columns.items()}

    def _evolved(self, name: str) -> NDArray[np.float64]:
        """An evolved proxy of all rows."""
        proxy = evolved_proxy(name)
        if proxy not in self._whole:
            columns = {leaf: self.table.column(leaf) for leaf in proxy.proxies}
            graph = [leaf for leaf in proxy.leaves if leaf not in columns]
            if graph:
                every = [self._rows.architecture(row) for row in range(len(self._rows))]
                features = graph_leaves(spaces.get(every[0].space), every)
                columns |= {leaf: features[leaf] for leaf in graph}
            self._whole[proxy] = proxy.fitted(columns)
        return self._whole[proxy]
