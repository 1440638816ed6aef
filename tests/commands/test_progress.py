"""What a study says on the way."""

from __future__ import annotations

import pytest
import typer

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
