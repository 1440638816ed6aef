"""Reading runs from their directories."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest
import yaml

import po_nas
from po_nas import spaces
from po_nas.errors import JournalError, RunDirectoryError
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from po_nas.testing import ToyObjective
from tests.errors import raised


def test_a_finished_run(finished):
    run, summary = load_run(finished), json.loads((finished / "summary.json").read_text())
    assert run.summary == summary
    assert run.ended == summary["ended"]
    assert "25" in run.ended
    assert [t.number for t in run.trials] == list(range(25))
    assert len(run.told) == 25
    incumbent = run.incumbent()
    assert (incumbent.architecture, incumbent.validation) == (summary["incumbent"], summary["validation"])
    assert run.regret(incumbent.validation) == pytest.approx(summary["regret_validation"])
    assert run.incumbents() == list(np.maximum.accumulate([t.validation for t in run.told]))
    assert run.winner()["test"] == summary["test"]
    assert (run.unit, run.maximize) == ("%", True)


def test_a_running_one(running):
    run = load_run(running)
    assert (len(run.told), len(run.trials), run.summary, run.ended) == (5, 6, None, None)
    assert not run.trials[5].finished
    assert len(run.incumbents()) == 5
    assert run.winner()["test"] is None


def test_one_with_nothing_in_it(empty):
    for journal in ("start", None):
        if journal is None:
            (empty / "journal.jsonl").unlink()
        run = load_run(empty)
        assert (run.trials, run.told, run.incumbent(), run.incumbents(), run.winner()) == ((), [], None, [], None)


def test_failures_have_a_reason_and_no_value(failing):
    run = load_run(failing)
    failed = [t for t in run.told if t.reason is not None]
    assert 0 < len(failed) < 20
    assert all(t.validation is None and t.reason.startswith("RuntimeError: ") for t in failed)
    assert len(run.incumbents()) == 20
    assert run.optimum["validation"] is None
    assert run.regret(1.0) is None


def test_lower_may_be_better(tmp_path):
    toy = ToyObjective(spaces.get("transnas_micro"), maximize=False)
    result = po_nas.search(benchmark=toy, method="random", budget=10, out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.incumbent().validation == result.validation == min(t.validation for t in run.told)
    assert run.incumbents() == list(np.minimum.accumulate([t.validation for t in run.told]))
    make_report(tmp_path / "run")


def test_trials_are_told_in_the_order_of_completion(tmp_path):
    po_nas.search(
        benchmark="nasbench201/cifar10", method="random", budget=12, batch=4, executor="simulated", out=tmp_path / "run"
    )
    run = load_run(tmp_path / "run")
    clocks = [t.clock_s for t in run.told]
    assert clocks == sorted(clocks)
    assert [t.number for t in run.told] != list(range(12))


def test_damage_is_named(finished, tmp_path):
    with raised(RunDirectoryError, "po-nas search", path=tmp_path):
        load_run(tmp_path)
    out = tmp_path / "damaged"
    shutil.copytree(finished, out)
    lines = (out / "journal.jsonl").read_bytes().split(b"\n")
    (out / "journal.jsonl").write_bytes(b"\n".join([*lines[:4], b"?", *lines[5:]]))
    with pytest.raises(JournalError) as caught:
        load_run(out)
    assert caught.value.line == 5
    for text in ("a: [", "- 1", "a: 1"):
        (out / "config.yaml").write_text(text)
        with raised(RunDirectoryError, "config.yaml", path=out):
            load_run(out)


def test_a_torn_last_line_is_no_damage(running):
    journal = running / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"event":"tell","num')
    assert len(load_run(running).told) == 5


def test_a_report_that_cannot_be_written(finished, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "report", ignore_errors=True)
    (out / "report").write_text("a file in the way")
    with raised(RunDirectoryError, os.strerror(errno.EEXIST), path=out):
        make_report(out)


@pytest.mark.parametrize(
    "summary",
    ["{}", "[]", "null", "3", "{", "\xff", '{"test": 1}', "[" * 100_000],
)
def test_a_damaged_summary_is_none_and_computed_again(finished, tmp_path, summary):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    whole = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(summary, encoding="latin-1")
    assert load_run(out).summary is None
    if summary == "{}":
        assert make_report(out).page.is_file()
    po_nas.resume(out)
    remade = json.loads((out / "summary.json").read_text())
    assert remade | {k: whole[k] for k in ("wall_s", "overhead_s", "directory")} == whole


@pytest.mark.parametrize(
    ("key", "value"), [("evaluations", "25"), ("validation", [1]), ("ended", None), ("seed", 1.5), ("cost_s", None)]
)
def test_a_summary_with_a_wrong_value_is_none(finished, tmp_path, key, value):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    whole = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(whole | {key: value}))
    assert load_run(out).summary is None


@pytest.mark.parametrize(
    "text",
    [
        "search: {}", "search: [1]", "search: {benchmark: 3}", "search: null", "budget: 0b_", "x: !!bool maybe",
        "a: " + "[" * 1500, "search: &a {benchmark: *a}", "\x00", "search: 2026-13-01", "- 1", "",
    ],
    ids=repr,
)  # fmt: skip
def test_a_record_that_po_nas_did_not_write(finished, tmp_path, text):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "config.yaml").write_text(text)
    for read in (load_run, po_nas.resume):
        with pytest.raises(RunDirectoryError) as caught:
            read(out)
        assert caught.value.path == out
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("part", "value"), [("protocol", [1]), ("optimum", {"validation": "high"}), ("versions", 3)])
def test_other_parts_of_the_record_are_checked(finished, tmp_path, part, value):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    record = yaml.safe_load((out / "config.yaml").read_text())
    (out / "config.yaml").write_text(yaml.safe_dump(record | {part: value}))
    with pytest.raises(RunDirectoryError):
        load_run(out)


@pytest.mark.parametrize(
    "trust",
    [
        None, 3, [], {}, {"proxies": ["a"]}, {"proxies": "a", "rows": []}, {"proxies": ["a"], "rows": []},
        {"proxies": ["a"], "rows": [{"label": "x", "architectures": 1, "weights": [1.0, 2.0]}]},
        {"proxies": ["a"], "rows": [{"label": "x", "architectures": 1, "weights": [None]}]},
        {"proxies": ["a"], "rows": [{"label": 3, "architectures": 1, "weights": [1.0]}]},
        {"proxies": ["a"], "rows": [{"label": "x", "architectures": 1, "weights": [float("nan")]}]},
        {"proxies": ["a"], "believed": "yes", "rows": [{"label": "x", "architectures": 1, "weights": [1.0]}]},
    ],
    ids=repr,
)  # fmt: skip
def test_an_odd_explanation_is_left_out(finished, tmp_path, trust):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "artifacts").mkdir(exist_ok=True)
    (out / "artifacts" / "explanation.json").write_text(json.dumps({"trust": trust}))
    assert load_run(out).trust() is None
    if trust is None:
        assert make_report(out).page.is_file()
