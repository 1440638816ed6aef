"""`po_nas.search`, `resume` and `Session` write the report of their run."""

from __future__ import annotations

import logging

import pytest

import po_nas
from po_nas import Int
from po_nas.reports.searches import write_report
from po_nas.runtime.run_directory import read_record

SPACE = po_nas.declare("reported", a=Int(1, 9), b=Int(1, 9))


@pytest.mark.usefixtures("reports_written")
def test_a_run_has_its_report_when_it_is_over(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    po_nas.search(space=SPACE, objective=lambda c: float(c["a"]), method="random", budget=3, out=one)
    with po_nas.Session(space=SPACE, method="random", budget=3, out=two) as session:
        trial = session.ask()
        session.tell(trial, 1.0)
    assert not (two / "report").exists()
    resumed = po_nas.Session.resume(two)
    assert type(resumed) is po_nas.Session
    for trial in resumed:
        resumed.tell(trial, float(trial.config["a"]))
    for out in (one, two):
        assert {path.name for path in (out / "report").iterdir()} == {"index.html", "regret.png"}
    assert read_record(one).resume.by == "po_nas.resume"


@pytest.mark.usefixtures("reports_written")
def test_a_report_that_cannot_be_written_takes_no_search_away(tmp_path, caplog):
    out = tmp_path / "run"
    out.mkdir()
    (out / "report").write_text("in the way")
    result = po_nas.search(space=SPACE, objective=lambda c: float(c["a"]), method="random", budget=3, out=out)
    assert result.evaluations == 3
    assert f"po-nas report {out}" in caplog.text
    with caplog.at_level(logging.WARNING):
        write_report(tmp_path / "nothing")
    assert "holds no run" in caplog.text
