"""Runs on a terminal while they go on."""

from __future__ import annotations

import io
import re
import shutil
import threading

from rich.console import Console

import po_nas
from po_nas import Int
from po_nas.reports.live import RunFollower
from po_nas.reports.run import read_run
from po_nas.reports.watch import watch
from po_nas.runtime.run_directory import RunDirectory

SPACE = po_nas.declare("watched", a=Int(1, 50), b=Int(1, 50))


def shown(*paths, width=80, terminal=True):
    """What `watch` leaves on a terminal of this width."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, highlight=False)
    watch(RunFollower(paths), console, 0.01)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    assert all(len(line) <= width for line in text.splitlines()) or not terminal
    return text


def test_one_run_in_detail(finished, failing):
    run = read_run(finished)
    best = run.incumbent()
    text = shown(finished)
    for said in (
        "25/25 evaluations", f"best {best.validation:.5g} % in evaluation {best.evaluation}",
        run.config["method"]["name"], f"ended: {run.ended}",
    ):  # fmt: skip
        assert said in " ".join(text.split())
    assert re.search("[▁▂▃▄▅▆▇]+█+", text), "the incumbent only gets better"
    assert f"{run.told[-1].evaluation} " in text
    reason = next(iter(read_run(failing).failures()))
    assert reason in shown(failing)


def test_several_runs_in_a_table(finished, failing, running, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    (broken / "journal.jsonl").write_text("?\n")
    text = shown(finished, failing, running, broken, width=100)
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "ended" in rows["finished"]
    assert "25/25" in rows["finished"]
    assert "stopped" in rows["running"]
    assert "5/25" in rows["running"]
    assert "damaged" in rows["broken"]
    assert "po-nas repair" in " ".join(text.split())


def test_nothing_has_begun(tmp_path, empty):
    (tmp_path / "nothing").mkdir()
    assert "no run has begun" in shown(tmp_path / "nothing")
    assert "0/25 evaluations" in shown(empty)


def test_lines_where_there_is_no_terminal(finished, running):
    lines = shown(finished, running, terminal=False).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("finished  ended  25/25 evaluations")
    assert f"po-nas resume {running}" in lines[1]


def test_it_follows_a_run_to_its_end(tmp_path):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    with po_nas.Session(space=SPACE, method="random", budget=4, out=tmp_path / "run") as session:
        watching = threading.Thread(target=watch, args=(RunFollower([tmp_path / "run"]), console, 0.01), daemon=True)
        watching.start()
        for done, trial in enumerate(session, 1):
            session.tell(trial, float(done))
            while done < 4 and f"{done}/4 evaluations" not in console.file.getvalue():
                assert watching.is_alive()
    watching.join(60)
    assert not watching.is_alive(), "it ends with the run"
    lines = console.file.getvalue().splitlines()
    assert "running" in lines[0]
    assert re.match(r"run  ended  4/4 evaluations  \d+ s  best 4 in 4  budget spent", lines[-1])


def test_it_shows_the_end_of_a_running_one_on_a_terminal(finished, running):
    """The run ends while it is watched."""
    lock = RunDirectory(running)
    lock.__enter__()

    def end():
        shutil.copy(finished / "journal.jsonl", running / "journal.jsonl")
        lock.__exit__(None, None, None)

    timer = threading.Timer(0.3, end)
    timer.start()
    text = shown(running)
    timer.join()
    assert "running: process" in text
    assert "25/25 evaluations" in text


def test_a_long_architecture_takes_no_room_from_the_other_columns(tmp_path):
    space = po_nas.declare("long_strings", **{f"choice_{k:02}": po_nas.Int(1, 900) for k in range(30)})
    po_nas.search(space=space, objective=lambda config: 0.123456, method="random", budget=3, out=tmp_path / "run")
    lines = shown(tmp_path / "run").splitlines()
    head = next(line for line in lines if line.lstrip().startswith("#"))
    assert head.split() == ["#", "validation", "seconds", "origin", "architecture"]
    assert len([line for line in lines if "0.12346 " in line and " random " in line and "{" in line]) >= 3
