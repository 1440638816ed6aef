from __future__ import annotations

import json

import po_nas
from po_nas import spaces
from po_nas.methods.proxy_bo import ProxyBO
from po_nas.reports.figures import draw_trust
from po_nas.reports.page import make_report
from po_nas.testing import ToyObjective
from tests.methods.toy import ToyMetrics


class Told(ToyObjective):
    """A toy that has proxy scores."""

    @property
    def proxies(self):
        return ToyMetrics(self.space)


def run(tmp_path, method="po_nas"):
    objective = Told(spaces.get("transnas_micro"))
    po_nas.search(benchmark=objective, method={"name": method, "pool": 60}, budget=8, out=tmp_path / "run")
    return tmp_path / "run"


def test_the_report_shows_what_was_trusted(tmp_path):
    directory = run(tmp_path)
    page = make_report(directory).page.read_text()
    assert "trusted" in page
    assert "incumbent" in page
    assert "m1" in page
    (directory / "artifacts" / "explanation.json").write_text("{torn")
    assert "trusted" not in make_report(directory).page.read_text()


def test_methods_without_weights_have_no_such_section(tmp_path):
    directory = run(tmp_path, "gp_proxies")
    assert not (directory / "artifacts" / "explanation.json").exists()
    assert "trusted" not in make_report(directory).page.read_text()


def test_an_explanation_that_fails_costs_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(ProxyBO, "explain", lambda self: 1 / 0)
    directory = run(tmp_path, "gp_proxies")
    assert json.loads((directory / "summary.json").read_text())["evaluations"] == 8
    assert ZeroDivisionError in {record.exc_info[0] for record in caplog.records if record.exc_info}


def test_every_weight_is_written_on_the_map():
    trust = {
        "proxies": ["a", "b"],
        "rows": [
            {"label": "incumbent", "architectures": 1, "weights": [0.5, -0.25]},
            {"label": "2.0 × conv", "architectures": 1200, "weights": [0.0, 0.125]},
        ],
    }
    axes = draw_trust(trust).axes[0]
    assert [t.get_text() for t in axes.texts] == ["+0.50", "-0.25", "+0.00", "+0.12"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["incumbent", "2.0 × conv (1,200)"]
