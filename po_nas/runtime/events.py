"""Where a run loop writes its events: what every such place can do, and one in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from po_nas.runtime.journal import Event

__all__ = ["EventList", "EventSink"]


class EventSink(Protocol):
    """Takes the events of a run, in order: a `po_nas.runtime.journal.Journal`, or an `EventList`."""

    @property
    def path(self) -> Path:
        """Where they go, for messages."""
        ...

    def append(self, events: Iterable[Event]) -> None:
        """Keep events; they are safe when this returns."""
        ...


class EventList:
    """Events in memory: a search that is interrupted is run again as a whole.

    Attributes:
        events: All that were appended.
    """

    path = Path("<memory>")

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, events: Iterable[Event]) -> None:
        """Keep events."""
        self.events.extend(events)
