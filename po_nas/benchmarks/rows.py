"""From an architecture to the row of a table, and back."""

from __future__ import annotations

from typing import Protocol

from po_nas.spaces.base import Architecture
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["EnumerationRows", "Rows"]


class Rows(Protocol):
    """The order of a table."""

    def find(self, architecture: Architecture) -> int | None:
        """Row of an architecture, None when the table does not hold it."""
        ...

    def architecture(self, row: int) -> Architecture:
        """An architecture of that row."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...


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
