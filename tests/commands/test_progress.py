"""What a study says on the way."""

from __future__ import annotations

import re

import pytest
import typer

from po_nas.commands import tables
from po_nas.commands.tables import ProgressBar
from po_nas.runtime.study import Progress


def test_what_failed_or_is_left_out_is_said_once(capsys):
    with ProgressBar("runs") as bar:
        bar.update(Progress(0, 2, (), ("left out: a",)))
        bar.update(Progress(1, 2, ("b: no memory",), ("left out: a",)))
        bar.update(Progress(2, 2, ("b: no memory", "c: [bold] died"), ("left out: a",), "the last phase"))
    said = capsys.readouterr().err
    for message in ("left out: a", "failed: b: no memory", "failed: c: [bold] died"):
        assert said.count(message) == 1
    assert "the last phase" in said
    assert "2/2" in said


def interrupted():
    with ProgressBar("runs") as bar:
        bar.count(3, 7, line="one line")
        raise KeyboardInterrupt


def test_an_interrupt_ends_the_command_with_one_line(capsys):
    with pytest.raises(typer.Exit) as caught:
        interrupted()
    assert caught.value.exit_code == 130
    assert "finished runs are kept" in capsys.readouterr().err


def test_nothing_is_drawn_before_the_first_news(capsys):
    with pytest.raises(ValueError, match="wrong"), ProgressBar("runs"):
        raise ValueError("wrong")
    assert capsys.readouterr().err == ""


def test_a_log_is_told_now_and_then(capsys, monkeypatch):
    now = iter(range(0, 10_000, 8))
    monkeypatch.setattr(tables, "monotonic", lambda: next(now))
    with ProgressBar("scores") as bar:
        for done in range(1, 41):
            bar.count(done, 1_000, line="cora: [params]")
        lines = capsys.readouterr().err.splitlines()
    # Once after ten seconds, then once a minute; two readings of the clock where a line is written.
    assert 4 <= len(lines) <= 7
    for line in lines:
        assert re.fullmatch(r"cora: \[params\]: \d+ of 1,000, \S+ so far(, \S+ left)?", line), line


def test_short_work_says_nothing_before_its_end(capsys):
    with ProgressBar("scores") as bar:
        bar.count(1, 3)
        assert capsys.readouterr().err == ""
