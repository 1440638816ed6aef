"""``po-nas import``, called in this process."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import po_nas
from po_nas import spaces
from po_nas.commands.app import app
from po_nas.errors import ConfigError
from po_nas.registry import load_plugin

PLUGIN = """
import po_nas
from po_nas import Categorical, Float, Int

@po_nas.declare
class imported_net:
    depth = Int(1, 4)
    act = Categorical(["relu", "gelu"])
    lr = Float(1e-3, 1e-1, log=True)
    constraints = lambda config: config["depth"] * config["lr"] <= 0.35
"""
DECLARATION = """
space:
  declare: net
  network: build
  choices: {depth: {int: [1, 4]}, act: {categorical: [relu, gelu]}, lr: {float: [0.001, 0.1], log: true}}
objective: train
"""
LINES = ["n,lr,act,acc,note", "2,0.01,relu,0.9,a", "9,0.01,relu,0.9,a", "3,0.1,gelu,0.8,b", "4,0.1,relu,0.7,c"]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(LINES))
    return path


def imported(table, space, *more):
    options = ["--value", "acc", "--maximize", "--map", "n=depth", "--ignore", "note"]
    return invoke("import", table, "--space", space, "--out", table.parent / "run", *options, *more)


def test_a_table_becomes_a_run_that_status_report_and_export_show(table):
    (table.parent / "own.yaml").write_text(DECLARATION)
    result = imported(table, table.parent / "own.yaml")
    assert result.exit_code == 0, result.output
    assert "3 evaluations" in result.output
    assert "line 3: depth is 9" in result.output
    run = table.parent / "run"
    status = invoke("status", run).output
    assert "3/3 evaluations" in status
    assert "0.9" in status
    assert invoke("report", run).exit_code == 0
    assert any((run / "report").glob("*.html"))
    assert json.loads(json.loads(invoke("export", run).output)["string"]) == {"depth": 2, "act": "relu", "lr": 0.01}
    assert isinstance(invoke("resume", run).exception, po_nas.PoNasError)


def test_a_space_of_a_plug_in_with_constraints_in_code(table):
    plugin = table.parent / "own_imported_net.py"
    plugin.write_text(PLUGIN)
    try:
        result = imported(table, "imported_net", "--plugin", plugin)
        assert result.exit_code == 0, result.output
        assert "2 evaluations" in result.output
        assert "line 5" in result.output
        assert load_plugin(str(plugin)) is not None
    finally:
        spaces.registry.remove("imported_net")


def test_values_that_are_missing_are_set(table):
    (table.parent / "own.yaml").write_text(DECLARATION.replace("lr:", "width: {int: [1, 9]}, lr:"))
    result = imported(table, table.parent / "own.yaml", "--set", "width=3", "--where", "note=b")
    assert result.exit_code == 0, result.output
    assert "1 evaluation " in result.output
    assert '"width":3' in result.output


@pytest.mark.parametrize("option", [["--map", "n"], ["--set", "=3"], ["--where", "note"], ["--categories", "a"]])
def test_options_that_are_no_pairs(table, option):
    (table.parent / "own.yaml").write_text(DECLARATION)
    error = imported(table, table.parent / "own.yaml", *option).exception
    assert isinstance(error, ConfigError)
    assert error.key == option[0]


@pytest.mark.parametrize("content", ["- 3", "choices: {}", "{", "space: 3"])
def test_files_without_a_declaration(table, content):
    (table.parent / "own.yaml").write_text(content)
    assert isinstance(imported(table, table.parent / "own.yaml").exception, ConfigError)
