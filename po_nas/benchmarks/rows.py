"""From an architecture to the row of a table, and back; the contract is `po_nas.proxy_scores.table.Rows`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["EnumerationRows", "ListedRows"]


class EnumerationRows:
    """A table in the order of a categorical space's enumeration, one row per architecture; nothing is stored."""

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
