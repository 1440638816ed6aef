"""The journal of a run: append-only JSON lines, synced to disk before the search goes on.

One object a line with an ``event``: ``start`` (schema, version, time), ``ask``, ``tell``, ``fail``, ``retry``, ``end``.
The trials of a run are its ask/tell (or ask/fail) pairs; a ``retry`` says that the worker of a pending trial was lost
and that it is evaluated again. The first ``ask`` of a group says what was spent on proxy scores since the one before,
where anything was. A ``fail`` of an evaluation that raised has the configuration and the traceback. A line is complete
when it ends with a newline; what follows the last newline was torn by a crash and is cut off on the next opening.

Every line ends with a ``check``: the first 16 hexadecimal digits of the SHA-256 of all that is in the file before it,
the line itself included. A line that was changed, lost or moved is therefore noticed. Journals of schema 1 (po-nas 0.1)
have no checksums; they are read with a warning, and from the first line that is added to them on all that is before is
covered too.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from po_nas.errors import JournalError

__all__ = [
    "EVENTS",
    "SCHEMA",
    "Event",
    "EventList",
    "EventSink",
    "Journal",
    "JournalContents",
    "cut_journal",
    "read_journal",
]

_log = logging.getLogger(__name__)

SCHEMA = 3
_LONGEST_LINE = 4_000_000
"""Bytes of a line; a line of a real run has some hundred."""
_LARGEST = 10**18
_CHECK = re.compile(rb',"check":"([0-9a-f]{16})"\}$')

Event: TypeAlias = dict[str, Any]


# -- what an event looks like -----------------------------------------------------------------------------------------


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _seconds(value: Any) -> bool:
    return _number(value) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _metrics(value: Any) -> bool:
    return isinstance(value, dict) and "validation" in value and all(map(_number, value.values()))


def _group(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_count, value)) and value[1] > 0


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


_Kind: TypeAlias = Callable[[Any], bool]
_TIMES: dict[str, _Kind] = {"clock_s": _seconds, "objective_s": _seconds, "elapsed_s": _seconds}
_TOLD: dict[str, _Kind] = {"number": _count, "architecture": _text, "cost_s": _seconds, **_TIMES, "attempts": _count}
_FIELDS: Mapping[str, Mapping[str, _Kind]] = {
    "start": {"schema": _count, "version": _text, "time": _text, "resumed": _flag, "elapsed_s": _seconds},
    "ask": {
        "number": _count,
        "architecture": _text,
        "origin": _text,
        "seed": _count,
        "group": _group,
        "clock_s": _seconds,
        "ask_s": _seconds,
        "elapsed_s": _seconds,
        "fidelity": _number,
        "scores_computed": _count,
        "scores_kept": _count,
        "scoring_s": _seconds,
    },
    "tell": {**_TOLD, "metrics": _metrics},
    "fail": {**_TOLD, "reason": _text, "traceback": _text, "config": _mapping},
    "retry": {"number": _count, "attempt": _count, "reason": _text, "clock_s": _seconds, "elapsed_s": _seconds},
    "end": {"reason": _text, "elapsed_s": _seconds},
}
_SCORED = ("scores_computed", "scores_kept", "scoring_s")
_RAISED = ("traceback", "config")
_OPTIONAL = {"version", "time", "resumed", "elapsed_s", "ask_s", "fidelity", "attempts", *_SCORED, *_RAISED}
_OPTIONAL_BEFORE = {*_OPTIONAL, "clock_s"}
"""Fields that an event may lack; the second is for schema 1, whose ``tell`` may lack the architecture too."""

EVENTS = frozenset(_FIELDS)
"""The kinds of event."""


def _flaw(event: Event, schema: int) -> str | None:
    """What is wrong with the fields of an event, or None."""
    kind = event.get("event")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        return "its event is unknown"
    optional = _OPTIONAL if schema > 1 else _OPTIONAL_BEFORE | ({"architecture"} if kind in {"tell", "fail"} else set())
    for name, sound in fields.items():
        if name not in event:
            if name not in optional:
                return f"it has no {name}"
        elif not sound(event[name]):
            return f"its {name} is no value that po-nas writes"
    strange = event.keys() - fields.keys() - {"event"}
    return f"it has a field {min(strange)[:40]!r}" if strange and schema > 1 else None


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JournalContents:
    """The complete events of a journal, and how many bytes they take; `torn` bytes follow them.

    The event of index i is line i + 1 of the file.
    """

    events: tuple[Event, ...]
    complete_bytes: int
    torn: int
    digest: Any = field(default_factory=hashlib.sha256, compare=False)
    """The SHA-256 object of the complete bytes."""


def read_journal(path: Path) -> JournalContents:
    """Read and check a journal.

    Raises `JournalError` naming the line when one is damaged, missing, out of order, or written by a newer schema; it
    also says which lines before it are good, and the command that continues from there. A torn last line is no error: a
    crash leaves one. A journal without checksums is warned of.
    """
    data = _bytes_of(path)
    reader = _Reader(path)
    reader.read(data)
    if not reader.covered and reader.events:
        _log.warning("%s has no checksums (po-nas 0.1 wrote none), so that damage is not always noticed", path)
    keep = _whole_groups(reader.events)
    complete = reader.boundaries[keep]
    return JournalContents(tuple(reader.events[:keep]), complete, len(data) - complete, hashlib.sha256(data[:complete]))


def cut_journal(path: Path, lines: int) -> bytes:
    """The first `lines` lines of a journal that may be damaged behind them.

    Raises `JournalError` where one of them is damaged or where there are fewer.
    """
    data = _bytes_of(path)
    reader = _Reader(path)
    ends = [match.end() for match in re.finditer(rb"\n", data)]
    if lines > len(ends):
        raise JournalError(path, None, f"has {len(ends)} complete lines, not {lines}")
    kept = data[: ends[lines - 1] if lines else 0]
    reader.read(kept)
    return kept


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise JournalError(path, None, f"cannot be read ({error.strerror})") from error


class _Reader:
    """Reads a journal line by line and checks each against those before it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema = SCHEMA
        self.covered = True
        """Whether a checksum covers all lines read so far."""
        self.events: list[Event] = []
        self.boundaries = [0]
        """Bytes up to the end of each line, from the beginning."""
        self._hash = hashlib.sha256()
        self._asked: list[str] = []
        self._pending: set[int] = set()
        self._group = (0, 0)
        self._ended = False

    def read(self, data: bytes) -> None:
        """Read the complete lines of `data`."""
        *lines, _torn = data.split(b"\n")
        for line in lines:
            event, checked = self._parsed(line)
            if not checked and (self.schema > 1 or (self.events and self.covered)):
                raise self._damage("its checksum is missing")
            self.covered = checked
            flaw = _flaw(event, SCHEMA if checked else self.schema) or self._disorder(event)
            if flaw is not None:
                raise self._damage(flaw)
            self._hash.update(line + b"\n")
            self.events.append(event)
            self.boundaries.append(self.boundaries[-1] + len(line) + 1)

    def _parsed(self, line: bytes) -> tuple[Event, bool]:
        """The event of a line, and whether a checksum has confirmed it."""
        if len(line) > _LONGEST_LINE:
            raise self._damage(f"it has {len(line)} bytes")
        seal = _CHECK.search(line)
        body = line if seal is None else line[: seal.start()] + b"}"
        try:
            event = json.loads(body, object_pairs_hook=_once, parse_constant=_refused)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise self._damage("it is no JSON object")
        if event.get("event") == "start":
            # Before its checksum, which a later version may compute otherwise.
            self._check_schema(event)
        if seal is not None and seal[1].decode() != _checksum(self._hash, body):
            raise self._damage("it, or what was before it, has been changed")
        return event, seal is not None

    def _check_schema(self, event: Event) -> None:
        schema: Any = event.get("schema")
        if not _count(schema):
            raise self._damage("its schema is no number")
        if schema > SCHEMA:
            raise JournalError(
                self.path,
                len(self.events) + 1,
                f"schema {schema}, this version reads up to {SCHEMA}; upgrade po-nas to go on",
            )
        if not self.events:
            self.schema = int(schema)

    def _disorder(self, event: Event) -> str | None:
        """What is wrong with an event after those before it, or None; enters it."""
        kind, number = event["event"], event.get("number")
        if not self.events and kind != "start":
            return "the first event must be 'start'; this is no po-nas journal"
        if self._ended:
            return "it is behind the end of the search"
        if kind == "ask":
            first, size = event["group"]
            if number != len(self._asked):
                return f"it asks for trial {number}, expected {len(self._asked)}; a line is missing"
            if ((first, size) != self._group and number != first) or not first <= number < first + size:
                return f"its group is {event['group']}"
            self._group = first, size
            self._asked.append(event["architecture"])
            self._pending.add(number)
        elif kind in {"tell", "fail", "retry"}:
            if number not in self._pending:
                return f"it tells trial {number}, which is not pending; a line is missing"
            if event.get("architecture", self._asked[number]) != self._asked[number]:
                return f"trial {number} was asked with another architecture"
            if kind != "retry":
                self._pending.remove(number)
        elif kind == "end":
            if self._pending:
                return f"trial {min(self._pending)} is pending at the end of the search; a line is missing"
            self._ended = True
        return None

    def _damage(self, what: str) -> JournalError:
        good = len(self.events)
        command = f"po-nas repair {self.path.parent} --to-line {good}"
        kept = f"lines 1 to {good} are good" if good else "no line before it is left"
        return JournalError(self.path, good + 1, f"is damaged: {what}; {kept}; continue from there with: {command}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of the pairs, whose keys must differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _checksum(before: Any, body: bytes) -> str:
    """The check of a line: of the hash of all that is before it, and of its JSON text without the check."""
    digest = before.copy()
    digest.update(body)
    return str(digest.hexdigest()[:16])


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


# -- writing ----------------------------------------------------------------------------------------------------------


class Journal:
    """A journal open for appending; one writer at a time (the run directory's lock sees to it)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = read_journal(path) if path.exists() else JournalContents((), 0, 0)
        self._hash = self.contents.digest
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            if self.contents.torn:
                os.ftruncate(self._file, self.contents.complete_bytes)
        except OSError as error:
            raise JournalError(path, None, f"cannot be written ({error.strerror})") from error

    def append(self, events: Iterable[Event]) -> None:
        """Write the events and sync them to disk; `JournalError` (disk full, …) leaves what was written before."""
        digest, lines = self._hash.copy(), []
        for event in events:
            body = json.dumps(event, separators=(",", ":"), allow_nan=False).encode()
            lines.append(body[:-1] + f',"check":"{_checksum(digest, body)}"}}\n'.encode())
            digest.update(lines[-1])
        data = b"".join(lines)
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
        self._hash = digest

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class EventSink(Protocol):
    """Takes the events of a run, in order: a `po_nas.runtime.journal.Journal`, or an `EventList`."""

    @property
    def path(self) -> Path:
        """Where they go, for messages."""

    def append(self, events: Iterable[Event]) -> None:
        """Keep events; they are safe when this returns."""


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
