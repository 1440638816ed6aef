"""The journal survives what crashes do to files, and refuses what they do not do."""

from __future__ import annotations

import json
import logging
import random
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import po_nas
from po_nas.commands.app import app
from po_nas.errors import JournalError
from po_nas.runtime.journal import SCHEMA, Journal, cut_journal, read_journal
from po_nas.runtime.run_directory import repair
from tests.errors import raised
from tests.runtime.helpers import trials

START = {"event": "start", "schema": SCHEMA}


def ask(number, first=None, size=1):
    group = [number if first is None else first, size]
    rest = {"architecture": "a", "origin": "random", "seed": 1, "clock_s": 0.0}
    return {"event": "ask", "number": number, "group": group, **rest}


def tell(number):
    rest = {"metrics": {"validation": 1.5}, "cost_s": 0, "clock_s": 0.0, "objective_s": 0.0}
    return {"event": "tell", "number": number, "architecture": "a", **rest}


def written(path: Path, events) -> Path:
    with Journal(path) as journal:
        journal.append(events)
    return path


def old(path: Path, events) -> Path:
    """A journal of po-nas 0.1, without checksums."""
    first = {"event": "start", "schema": 1}
    path.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in (first, *events)))
    return path


def test_round_trip(tmp_path):
    events = [START, ask(0), tell(0), ask(1)]
    path = written(tmp_path / "j", events)
    assert list(read_journal(path).events) == events
    with Journal(path) as journal:
        assert list(journal.contents.events) == events
        journal.append([tell(1)])
        journal.append([{"event": "end", "reason": "spent"}])
    assert list(read_journal(path).events) == [*events, tell(1), {"event": "end", "reason": "spent"}]


def test_how_events_are_grouped_into_writes_does_not_matter(tmp_path):
    events = [START, ask(0), tell(0), ask(1), tell(1)]
    together, singly = written(tmp_path / "together", events), tmp_path / "singly"
    for event in events:
        written(singly, [event])
    assert singly.read_bytes() == together.read_bytes()


@pytest.mark.parametrize("cut", range(1, 40))
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


@pytest.mark.parametrize("write", [written, old])
def test_a_damaged_line_is_named_and_what_is_before_it_is_good(tmp_path, write):
    events = [ask(0), tell(0), ask(1)]
    path = write(tmp_path / "j", [START, *events] if write is written else events)
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:5] + b"\x00\x00" + lines[2][7:]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert caught.value.line == 3
    assert f"po-nas repair {tmp_path} --to-line 2" in caught.value.reason
    with pytest.raises(JournalError):
        Journal(path)
    assert cut_journal(path, 2) == b"\n".join(lines[:2]) + b"\n"
    for beyond in (3, 5):
        with pytest.raises(JournalError):
            cut_journal(path, beyond)


@pytest.mark.parametrize("write", [written, old])
def test_a_missing_or_moved_line_is_noticed(tmp_path, write):
    events = [ask(0), tell(0), ask(1), tell(1)]
    path = write(tmp_path / "j", [START, *events] if write is written else events)
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = [lines[:gone] + lines[gone + 1 :] for gone in range(len(lines) - 1)]
    damaged += [lines[:1] + lines[3:], [*lines, lines[-1]], [lines[0], *lines]]
    damaged += [[*lines[:1], lines[2], lines[1], *lines[3:]]]
    for number, left in enumerate(damaged):
        path.write_bytes(b"".join(left))
        # Without checksums, an outcome that is gone looks pending and a second start like that of a later session.
        if write is old and number in {2, len(damaged) - 2}:
            continue
        with pytest.raises(JournalError):
            read_journal(path)


@pytest.mark.parametrize("write", [written, old])
@pytest.mark.parametrize(
    "event",
    [
        tell(0) | {"metrics": {"validation": "high"}},
        tell(0) | {"metrics": {"validation": True}},
        tell(0) | {"metrics": {"test": 1.0}},
        tell(0) | {"cost_s": -1.0},
        tell(0) | {"architecture": "b"},
        tell(0) | {"number": 0.0},
        {key: value for key, value in tell(0).items() if key != "cost_s"},
        {"event": "fail", "number": 0, "reason": 3, "cost_s": 0, "clock_s": 0, "objective_s": 0},
        {"event": "end", "reason": "budget spent"},
        ask(1) | {"group": None},
        ask(1) | {"group": [3, 1]},
        ask(1) | {"seed": -4},
        {"event": "party"},
        {"event": ["tell"]},
        {"event": "start", "schema": "1"},
    ],
)
def test_an_event_that_po_nas_does_not_write_is_refused(tmp_path, write, event):
    """Whoever wrote it had the checksum right."""
    path = write(tmp_path / "j", [START, ask(0)] if write is written else [ask(0)])
    if write is written:
        written(path, [event])
    else:
        path.write_text(path.read_text() + json.dumps(event) + "\n")
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "line",
    [
        '{"event":"end","event":"end","reason":"x"}',
        '{"event":"end","reason":"x","elapsed_s":NaN}',
        '{"event":"end","reason":"x","elapsed_s":-Infinity}',
        '{"event":"end","reason":"x","elapsed_s":1e999}',
        '{"event":"end","reason":"x","elapsed_s":' + "9" * 400 + "}",
        '{"event":"end","reason":"x","elapsed_s":' + "9" * 5000 + "}",
        '{"event":"end","reason":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"event":"end","reason":"' + "x" * 4_000_001 + '"}',
        "[1,2]",
        "",
    ],
    ids=["twice", "nan", "infinity", "beyond floats", "400 digits", "5000 digits", "deep", "long", "a list", "empty"],
)
def test_json_that_po_nas_does_not_write_is_refused(tmp_path, line):
    path = old(tmp_path / "j", [ask(0), tell(0)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert caught.value.line == 4


def test_a_journal_without_checksums_is_warned_of_until_it_goes_on(tmp_path, caplog):
    path = old(tmp_path / "j", [ask(0), tell(0)])
    with caplog.at_level(logging.WARNING):
        assert len(read_journal(path).events) == 3
    assert str(path) in caplog.text
    written(path, [START, ask(1)])
    caplog.clear()
    assert len(read_journal(path).events) == 5
    assert not caplog.records
    # What was written before is covered from now on, and what comes after has checksums too.
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"validation":1.5', b'"validation":2.5', 1))
    with pytest.raises(JournalError):
        read_journal(path)
    path.write_bytes(whole + json.dumps(tell(1)).encode() + b"\n")
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert caught.value.line == 6


def test_a_newer_schema_is_refused(tmp_path):
    path = written(tmp_path / "j", [{"event": "start", "schema": SCHEMA + 1}])
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert "repair" not in caught.value.reason


def test_an_empty_file_is_a_run_that_has_not_begun(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b"")
    assert read_journal(path).events == ()


def test_numbers_that_json_lacks_are_not_written(tmp_path):
    with Journal(tmp_path / "j") as journal, raised(ValueError, "JSON"):
        journal.append([{"event": "tell", "number": 0, "cost_s": float("nan")}])
    assert (tmp_path / "j").read_bytes() == b""


# -- journals of real runs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("journal") / "run"
    po_nas.search(
        benchmark="nasbench201/cifar10",
        method="regularized_evolution",
        budget=12,
        batch=3,
        out=out,
        executor="simulated",
    )
    return out


def damages(data: bytes, draw: random.Random):
    """One damage of a journal after the other: kinds in turns, places drawn."""
    lines = data.splitlines(keepends=True)
    while True:
        place = draw.randrange(len(data))
        yield "bit", data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
        yield "byte-gone", data[:place] + data[place + 1 :]
        yield "zeros", data[:place] + bytes(min(40, len(data) - place)) + data[place + 40 :]
        row, other = sorted(draw.sample(range(len(lines)), 2))
        yield "line-gone", b"".join(lines[:row] + lines[row + 1 :])
        yield "line-twice", b"".join(lines[: row + 1] + lines[row:])
        moved = list(lines)
        moved[row], moved[other] = moved[other], moved[row]
        yield "lines-swapped", b"".join(moved)
        digits = [at for at in range(len(data)) if data[at : at + 1].isdigit()]
        at = draw.choice(digits)
        digit = b"%d" % ((int(data[at : at + 1]) + draw.randint(1, 9)) % 10)
        yield "digit", data[:at] + digit + data[at + 1 :]
        yield "value", b"".join([*lines[:row], lines[row].replace(b":", b":NaN,", 1), *lines[row + 1 :]])
        yield "unsealed", b"".join([*lines[:row], lines[row].partition(b',"check"')[0] + b"}\n", *lines[row + 1 :]])


def test_no_damage_is_silent(run, tmp_path):
    """What can be read of a damaged journal is its beginning, or nothing of it."""
    data = (run / "journal.jsonl").read_bytes()
    whole = read_journal(run / "journal.jsonl").events
    path, kinds, refused = tmp_path / "journal.jsonl", set(), 0
    for number, (kind, damaged) in enumerate(damages(data, random.Random(5))):
        if number == 900:
            break
        path.write_bytes(damaged)
        try:
            events = read_journal(path).events
        except JournalError:
            refused += 1
            continue
        assert damaged == data or events == whole[: len(events)] != whole, (number, kind)
        kinds.add(kind)
    assert refused > 700
    # A last line that has lost its newline was torn; one that is gone was never written.
    assert kinds <= {"bit", "byte-gone", "line-gone", "zeros"}


def test_a_repaired_run_goes_on_to_the_undisturbed_end(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    journal = out / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[9] = lines[9].replace(b'"number":', b'"number": ', 1)
    journal.write_bytes(b"".join(lines))
    with pytest.raises(JournalError) as caught:
        po_nas.resume(out)
    good = caught.value.line - 1
    assert good == 9
    damaged = journal.read_bytes()
    with pytest.raises(JournalError):
        repair(out, good + 1)
    assert repair(out, good).read_bytes() == damaged
    said = CliRunner().invoke(app, ["repair", str(out), "--to-line", str(good)])
    assert said.exit_code == 0
    assert str(out / "journal.damaged-2.jsonl") in said.output
    assert f"po-nas resume {out}" in said.output
    po_nas.resume(out)
    assert trials(out) == trials(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event | {"seed": event["seed"] + 1},
        lambda event: event | {"architecture": "|nor_conv_3x3~0|+|"},
        lambda event: event | {"number": event["number"], "architecture": None},
    ],
    ids=["seed", "architecture", "repeated"],
)
def test_a_trial_of_another_search_is_refused(run, tmp_path, change):
    """Checksums are right; the trials are not those of this configuration."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    events = list(read_journal(run / "journal.jsonl").events)
    asked = [position for position, event in enumerate(events) if event["event"] == "ask"]
    second = change(events[asked[1]])
    if second["architecture"] is None:
        second["architecture"] = events[asked[0]]["architecture"]
    events[asked[1]] = second
    number, architecture = second["number"], second["architecture"]
    events = [
        e | {"architecture": architecture} if e.get("number") == number and "architecture" in e else e for e in events
    ]
    (out / "journal.jsonl").unlink()
    written(out / "journal.jsonl", events)
    with pytest.raises(JournalError) as caught:
        po_nas.resume(out)
    assert caught.value.line == asked[1] + 1


def test_a_run_with_more_trials_than_its_budget_is_refused(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    config = out / "config.yaml"
    config.write_text(config.read_text().replace("max_evaluations: 12", "max_evaluations: 9"))
    with pytest.raises(JournalError):
        po_nas.resume(out)
