"""Run directories that po-nas 0.1 wrote: read, resumed, and used as a warm start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import po_nas
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from tests.runtime.helpers import trials

RUNS = Path(__file__).parent / "runs_of_0.1"


@pytest.fixture
def run(tmp_path, request):
    """A copy of ``po_nas`` (finished) or ``evolution`` (four of eight evaluations told)."""
    shutil.copytree(RUNS / request.param, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("run", ["po_nas"], indirect=True)
def test_a_finished_run_is_shown_and_returned(run):
    kept = json.loads((run / "summary.json").read_text())
    before = (run / "journal.jsonl").read_bytes()
    assert len(load_run(run).told) == 8
    assert make_report(run).page.is_file()
    result = po_nas.resume(run)
    assert (result.evaluations, result.incumbent, result.validation) == (8, kept["incumbent"], kept["validation"])
    # Computed again from the journal alone, too.
    (run / "summary.json").unlink()
    assert po_nas.resume(run).regret_validation == kept["regret_validation"]
    assert (run / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("run", ["evolution"], indirect=True)
def test_an_unfinished_run_goes_on(run, tmp_path):
    before = trials(run)
    assert len([event for event in before if event["event"] == "tell"]) == 4
    assert po_nas.resume(run).evaluations == 8
    assert trials(run)[: len(before)] == before
    whole = {"budget": 8, "seed": 3, "out": tmp_path / "whole"}
    po_nas.search(benchmark="nasbench_graph/proteins", method="regularized_evolution", **whole)
    assert trials(run) == trials(tmp_path / "whole")


@pytest.mark.parametrize("run", ["po_nas"], indirect=True)
def test_a_run_is_a_warm_start(run, tmp_path):
    settings = {"method": "random", "budget": 3, "seed": 3, "warm_start": [run], "out": tmp_path / "next"}
    po_nas.search(benchmark="nasbench201/cifar10", **settings)
    told = {event["architecture"] for event in trials(run)}
    assert not told & {event["architecture"] for event in trials(tmp_path / "next")}
