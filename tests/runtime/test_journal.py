"""The journal survives what crashes do to files, and refuses what they do not do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from po_nas.errors import JournalError
from po_nas.runtime.journal import SCHEMA, Journal, read_journal

START = {"event": "start", "schema": SCHEMA}


def ask(number, first=None, size=1):
    group = [number if first is None else first, size]
    rest = {"architecture": "a", "origin": "random", "seed": 1, "clock_s": 0.0}
    return {"event": "ask", "number": number, "group": group, **rest}


def tell(number):
    return {"event": "tell", "number": number, "metrics": {"validation": 1.5}, "cost_s": 0, "objective_s": 0.0}


def written(path: Path, events) -> Path:
    with Journal(path) as journal:
        journal.append(events)
    return path


def test_round_trip(tmp_path):
    events = [START, ask(0), tell(0), ask(1)]
    path = written(tmp_path / "j", events)
    assert list(read_journal(path).events) == events
    with Journal(path) as journal:
        assert list(journal.contents.events) == events
        journal.append([tell(1)])
    assert list(read_journal(path).events) == [*events, tell(1)]


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_torn_last_line_is_cut_off(tmp_path, cut):
    path = written(tmp_path / "j", [START, ask(0), tell(0)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    contents = read_journal(path)
    assert list(contents.events) == [START, ask(0)]
    assert contents.torn > 0
    with Journal(path) as journal:
        journal.append([tell(0)])
    assert path.read_bytes() == whole


def test_a_group_cut_in_two_is_asked_again(tmp_path):
    path = written(tmp_path / "j", [START, ask(0), tell(0), ask(1, 1, 3), ask(2, 1, 3)])
    assert list(read_journal(path).events) == [START, ask(0), tell(0)]
    with Journal(path) as journal:
        journal.append([ask(1)])
    assert list(read_journal(path).events) == [START, ask(0), tell(0), ask(1)]


def test_a_damaged_line_in_the_middle_names_the_line(tmp_path):
    path = written(tmp_path / "j", [START, ask(0), tell(0), ask(1)])
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:5] + b"\x00\x00" + lines[2][7:]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match="line 3: damaged line") as caught:
        read_journal(path)
    assert caught.value.line == 3
    with pytest.raises(JournalError):
        Journal(path)


def test_a_missing_line_is_noticed(tmp_path):
    path = written(tmp_path / "j", [START, ask(0), tell(0), ask(1), tell(1)])
    lines = path.read_bytes().splitlines(keepends=True)
    for gone, message in ((1, "not pending"), (3, "not pending")):
        path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
        with pytest.raises(JournalError, match=message):
            read_journal(path)
    path.write_bytes(b"".join(lines[:1] + lines[3:]))
    with pytest.raises(JournalError, match="asks for trial 1, expected 0"):
        read_journal(path)


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "j"
    path.write_text(json.dumps({"event": "start", "schema": SCHEMA + 1}) + "\n")
    with pytest.raises(JournalError, match="upgrade po-nas"):
        read_journal(path)


def test_something_else_is_refused(tmp_path):
    path = tmp_path / "j"
    wrong_types = (START | {"schema": "1"}, ask(0) | {"group": None}, tell(0) | {"metrics": {"validation": "high"}})
    lines = [json.dumps(START) + "\n" + json.dumps(event) + "\n" for event in wrong_types]
    for text in (*lines, json.dumps(ask(0)) + "\n", "[1,2]\n", '{"event":"party"}\n', "\n"):
        path.write_text(text)
        with pytest.raises(JournalError):
            read_journal(path)


def test_an_empty_file_is_a_run_that_has_not_begun(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b"")
    assert read_journal(path).events == ()


def test_numbers_that_json_lacks_are_refused(tmp_path):
    with Journal(tmp_path / "j") as journal, pytest.raises(ValueError, match="JSON"):
        journal.append([{"event": "tell", "number": 0, "cost_s": float("nan")}])
