"""The journal of a run: append-only JSON lines, synced to disk before the search goes on.

One object a line with an ``event``: ``start`` (schema, version, time), ``ask``, ``tell``, ``fail``, ``retry``, ``end``.
The trials of a run are its ask/tell (or ask/fail) pairs; a ``retry`` says that the worker of a pending trial was lost
and that it is evaluated again. A line is complete when it ends with a newline; what follows the last newline was torn
by a crash and is cut off on the next opening.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from po_nas.errors import JournalError

__all__ = ["EVENTS", "SCHEMA", "Journal", "JournalContents", "read_journal"]

SCHEMA = 1
_KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "start": {"schema": int},
    "ask": {"number": int, "architecture": str, "origin": str, "seed": int, "group": list, "clock_s": (int, float)},
    "tell": {"number": int, "metrics": dict, "cost_s": (int, float), "objective_s": (int, float)},
    "fail": {"number": int, "reason": str, "cost_s": (int, float), "objective_s": (int, float)},
    "retry": {"number": int, "attempt": int, "reason": str},
    "end": {"reason": str},
}
EVENTS = frozenset(_KEYS)
"""The kinds of event, and for each the keys that a reader relies on, with their types."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JournalContents:
    """The complete events of a journal, and how many bytes they take; `torn` bytes follow them."""

    events: tuple[Event, ...]
    complete_bytes: int
    torn: int


def read_journal(path: Path) -> JournalContents:
    """Read and check a journal.

    Raises `JournalError` naming the line when one in the middle is damaged, out of order, or written by a newer schema.
    A torn last line is no error: a crash leaves one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(path, None, f"cannot be read ({error.strerror})") from error
    body, newline, _tail = data.rpartition(b"\n")
    complete = len(body) + len(newline)
    events: list[Event] = []
    asked: set[int] = set()
    ended: set[int] = set()
    boundaries = [0]
    for number, line in enumerate(body.split(b"\n") if complete else [], 1):
        event = _parse(path, number, line)
        if number == 1 and event["event"] != "start":
            raise JournalError(path, 1, "the first event must be 'start'; this is no po-nas journal")
        _check_order(path, number, event, asked, ended)
        events.append(event)
        boundaries.append(boundaries[-1] + len(line) + 1)
    keep = _whole_groups(events)
    return JournalContents(tuple(events[:keep]), boundaries[keep], len(data) - boundaries[keep])


def _parse(path: Path, number: int, line: bytes) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or not _sound(event):
        raise JournalError(
            path, number, "damaged line; restore the file from a copy, or start the search again in a new directory"
        )
    if event["event"] == "start" and event.get("schema", 0) > SCHEMA:
        raise JournalError(
            path, number, f"schema {event['schema']}, this version reads up to {SCHEMA}; upgrade po-nas to go on"
        )
    return event


def _sound(event: Event) -> bool:
    keys = _KEYS.get(str(event.get("event")))
    if keys is None or not all(isinstance(event.get(key), kind) for key, kind in keys.items()):
        return False
    return all(isinstance(value, (int, float)) for value in event.get("metrics", {}).values())


def _check_order(path: Path, number: int, event: Event, asked: set[int], ended: set[int]) -> None:
    trial = event.get("number")
    if event["event"] == "ask":
        if trial != len(asked):
            raise JournalError(path, number, f"asks for trial {trial}, expected {len(asked)}; a line is missing")
        asked.add(len(asked))
    elif event["event"] in {"tell", "fail", "retry"}:
        if trial not in asked or trial in ended:
            raise JournalError(path, number, f"tells trial {trial}, which is not pending; a line is missing")
        if event["event"] != "retry":
            ended.add(trial)


def _whole_groups(events: list[Event]) -> int:
    """How many events to keep so that the last group of trials asked together is whole.

    Trials are evaluated only after their whole group is on disk, so a cut group has cost nothing and is asked again.
    """
    for position in range(len(events) - 1, -1, -1):
        event = events[position]
        if event["event"] != "ask":
            break
        first, size = event["group"]
        if event["number"] == first + size - 1:
            break
        if event["number"] == first:
            return position
    return len(events)


class Journal:
    """A journal open for appending; one writer at a time (the run directory's lock sees to it)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = read_journal(path) if path.exists() else JournalContents((), 0, 0)
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if self.contents.torn:
                os.ftruncate(self._file, self.contents.complete_bytes)
        except OSError as error:
            raise JournalError(path, None, f"cannot be written ({error.strerror})") from error

    def append(self, events: Iterable[Event]) -> None:
        """Write the events and sync them to disk; `JournalError` (disk full, …) leaves what was written before."""
        data = b"".join(json.dumps(event, separators=(",", ":"), allow_nan=False).encode() + b"\n" for event in events)
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise JournalError(
                self.path,
                None,
                f"cannot be written ({error.strerror}); make room, then go on with: po-nas resume {self.path.parent}",
            ) from error

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
