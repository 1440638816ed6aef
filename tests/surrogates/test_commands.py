"""``po-nas surrogates``."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from po_nas.commands.surrogates import app
from po_nas.errors import UnknownNameError
from tests.errors import raised


def run(*arguments):
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_list():
    lines = [line.split("\t") for line in run("list").splitlines()]
    assert lines[0] == ["name", "summary", "reference"]
    assert {"ensemble", "gat", "gcn", "mlp", "pinat"} <= {line[0] for line in lines}
    assert len(run("list", "g*").splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("gcn", ["members\t1", "loss\thr", "network_options.width\t64", "settings.steps\t500"]),
        ("ensemble", ["network\tgcn", "members\t5", "network_options.heads (gat)\t4", "settings.batch\t32"]),
    ],
)
def test_describe(name, lines):
    shown = run("describe", name).splitlines()
    assert set(lines) <= set(shown)
    assert "option\tdefault" in shown
    assert len(shown[0]) > 40


def test_describe_something_unknown():
    with raised(UnknownNameError, name="pinot", suggestion="pinat"):
        run("describe", "pinot")
