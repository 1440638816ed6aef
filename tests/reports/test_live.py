"""Following runs from their files."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from po_nas.errors import JournalError, RunDirectoryError
from po_nas.reports import live
from po_nas.reports.live import RunFollower, find_runs
from po_nas.reports.run import read_run
from po_nas.runtime.run_directory import RunDirectory
from tests.errors import raised


def only(follower):
    (run,) = follower.look()
    return run


def test_runs_are_found_below_folders(finished, tmp_path):
    for name in ("b/deep/er", "a", "c/d/e/f/too-deep"):
        shutil.copytree(finished, tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert find_runs([tmp_path]) == [tmp_path / "a", tmp_path / "b/deep/er"]
    assert find_runs([tmp_path / "a", tmp_path]) == [tmp_path / "a", tmp_path / "b/deep/er"]
    assert find_runs([tmp_path / "empty"]) == []
    with raised(RunDirectoryError, "does not exist", path=tmp_path / "nowhere"):
        find_runs([tmp_path / "a", tmp_path / "nowhere"])
    follower = RunFollower([tmp_path])
    assert [run.name for run in follower.look()] == ["a", "b/deep/er"]
    assert only(RunFollower([tmp_path / "a"])).name == "a"
    names = [run.name for run in RunFollower([tmp_path / "a", finished]).look()]
    assert names == ["a", finished.name]


def test_a_run_that_begins_later_comes_last_and_one_that_goes_is_gone(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "b")
    follower = RunFollower([tmp_path])
    shutil.copytree(finished, tmp_path / "a")
    assert [run.name for run in follower.look()] == ["b", "a"]
    shutil.rmtree(tmp_path / "b")
    assert [run.name for run in follower.look()] == ["a"]
    shutil.rmtree(tmp_path / "a")
    assert follower.look() == []


def test_ended_stopped_and_running(finished, running):
    state = only(RunFollower([finished])).now()
    assert (state.state, state.said, state.eta_s) == ("ended", read_run(finished).ended, None)
    assert state.elapsed_s == read_run(finished).summary["wall_s"]
    stopped = only(RunFollower([running])).now()
    assert (stopped.state, stopped.eta_s) == ("stopped", None)
    assert f"po-nas resume {running}" in stopped.said
    with RunDirectory(running):
        state = only(RunFollower([running])).now()
    assert state.state == "running"
    assert state.elapsed_s >= stopped.elapsed_s
    assert "process" in state.said


def test_the_time_left_goes_by_the_last_evaluations(running):
    """Five evaluations a second apart, of 25; the journal is older than that."""
    lines = [json.loads(line) for line in (running / "journal.jsonl").read_text().splitlines()]
    told = 0
    for event in lines:
        event.pop("check")
        told += event["event"] == "tell"
        event["elapsed_s"] = 10.0 + told
        if event["event"] == "start":
            event["schema"] = 1  # without checksums
    (running / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in lines))
    with RunDirectory(running):
        state = only(RunFollower([running])).now()
    assert state.eta_s + (state.elapsed_s - 15.0) == pytest.approx(20.0)
    assert state.elapsed_s >= 15.0


def test_what_has_not_changed_is_not_read_again(running, finished, monkeypatch):
    reads = []
    monkeypatch.setattr(live, "read_run", lambda path: reads.append(path) or read_run(path))
    run = only(RunFollower([running]))
    assert len(run.read().told) == 5
    assert len(run.read().told) == 5
    assert len(reads) == 1
    shutil.copy(finished / "journal.jsonl", running / "journal.jsonl")
    assert len(run.read().told) == 25
    assert len(reads) == 2


def test_damage_is_said_until_it_is_mended(running):
    journal = running / "journal.jsonl"
    whole = journal.read_bytes()
    run = only(RunFollower([running]))
    journal.write_bytes(b"?" + whole)
    for _ in range(2):
        with pytest.raises(JournalError):
            run.now()
    journal.write_bytes(whole)
    assert len(run.now().run.told) == 5


def test_no_code_of_a_run_is_run(running, tmp_path):
    """Looking at somebody else's run needs no trust."""
    (tmp_path / "foreign.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    record = yaml.safe_load((running / "config.yaml").read_text())
    record["search"]["plugins"] = [str(tmp_path / "foreign.py")]
    record["search"]["method"] = {"name": "foreign"}
    (running / "config.yaml").write_text(yaml.safe_dump(record))
    assert only(RunFollower([running])).now().to_json()["method"] == "foreign"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("which", ["finished", "running", "empty", "failing"])
def test_the_state_as_json(which, request):
    state = only(RunFollower([request.getfixturevalue(which)])).now()
    found = json.loads(json.dumps(state.to_json(), allow_nan=False))
    run = state.run
    assert found["evaluations"] == len(run.told)
    assert [row[0] for row in found["curve"]] == [trial.evaluation for trial in run.told]
    assert [row[2] for row in found["curve"]] == run.incumbents()
    assert found["failed"] == sum(count for _, count in found["failures"])
    assert [row["evaluation"] for row in found["last"]] == [trial.evaluation for trial in run.told[:-6:-1]]
    if run.incumbent() is None:
        assert found["best"] is None
    else:
        assert found["best"]["architecture"] == run.incumbent().architecture
    thin = state.to_json(points=4)["curve"]
    assert len(thin) <= 5
    if run.told:
        assert thin[-1][0] == len(run.told), "the last one is always there"
