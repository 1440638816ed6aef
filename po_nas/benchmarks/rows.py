"""From an architecture to the row of a table, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["CanonicalRows", "EnumerationRows", "Rows"]


class Rows(Protocol):
    """The order of a table."""

    def find(self, architecture: Architecture) -> int | None:
        """Row of an architecture, None when the table does not hold it."""
        ...

    def architecture(self, row: int) -> Architecture:
        """An architecture of that row."""
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


class CanonicalRows:
    """A table with one row per class of isomorphic architectures."""

    def __init__(self, space: Space, architectures: Sequence[Architecture]) -> None:
        self._space = space
        self._architectures = tuple(architectures)
        self._rows = {space.canonical(a): row for row, a in enumerate(self._architectures)}

    def find(self, architecture: Architecture) -> int | None:
        """Row of the class that the architecture belongs to."""
        if architecture.space != self._space.name:
            return None
        return self._rows.get(self._space.canonical(architecture))

    def architecture(self, row: int) -> Architecture:
        """The architecture that the row was made from."""
        return self._architectures[row]
