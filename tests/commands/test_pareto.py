from __future__ import annotations

from typer.testing import CliRunner

from po_nas.commands.app import app


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_a_report_with_the_front_against_costs(tmp_path):
    run = tmp_path / "run"
    searched = invoke("search", "benchmark=nasbench_graph/cora", "method=random", "budget=6", "--out", run, "--quiet")
    assert searched.exit_code == 0, searched.output
    found = invoke("report", run, "--pareto")
    assert found.exit_code == 0, found.output
    assert (run / "report/pareto.png").exists()
    text = (run / "report/pareto.md").read_text()
    assert "| params" in text
    assert "hypervolume" in text
