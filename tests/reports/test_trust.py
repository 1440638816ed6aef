from __future__ import annotations

import json

import numpy as np
import pytest

import po_nas
from po_nas import spaces
from po_nas.methods.proxy_bo import ProxyBO
from po_nas.reports.figures import draw_trust, draw_trusts
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


def test_the_report_says_how_far_a_predictor_was_believed(tmp_path):
    objective = Told(spaces.get("transnas_micro"))
    quick = {"steps": 3, "members": 1, "every": 3, "network_options": {"width": 8}, "name": "mlp"}
    method = {"name": "po_nas", "pool": 60, "predictor": quick}
    po_nas.search(benchmark=objective, method=method, budget=8, out=tmp_path / "run")
    page = make_report(tmp_path / "run").page.read_text()
    assert "Coefficient of the predictor (mlp under piecewise)" in page


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


def colours(axes):
    return {tuple(colour) for row in axes.images[0].to_rgba(axes.images[0].get_array()) for colour in row}


@pytest.mark.parametrize("weight", [0.31, -0.2, 0.0])
def test_equal_weights_have_no_colour_and_are_said_to_be_equal(weight):
    def trust(other):
        return {
            "proxies": ["a", "b"],
            "rows": [
                {"label": "incumbent", "architectures": 1, "weights": [weight, weight + 1e-6]},
                {"label": "conv", "architectures": 12, "weights": [weight, other]},
            ],
        }

    equal, unequal = draw_trust(trust(weight)), draw_trust(trust(weight + 0.3))
    (neutral,) = colours(equal.axes[0])
    assert min(neutral) > 0.9
    assert equal.axes[0].get_title()
    assert len(equal.axes) == 1, "no bar of colours"
    assert len({t.get_text() for t in equal.axes[0].texts}) == 1
    assert len(colours(unequal.axes[0])) > 1
    assert not unequal.axes[0].get_title()
    panels = draw_trusts({"m": {"x": {"a": weight, "b": weight}}, "n": {"x": {"a": 1.0, "b": -1.0}}}).axes
    assert min(*colours(panels[0])) > (0.9,)
    assert panels[0].get_title() != "m"
    assert panels[1].get_title() == "n"
    assert len(colours(panels[1])) == 2


def test_the_report_names_redundant_proxies(tmp_path):
    class Twins(ToyMetrics):
        """The second is the first, the third the first turned round, but for noise; the fourth is another."""

        def raw(self, architectures, names):
            first, noise, *_ = super().raw(architectures, names).values()
            return {"a": first, "b": np.exp(first) + 1e-3 * noise, "c": -first, "d": noise}

    class Told(ToyObjective):
        @property
        def proxies(self):
            return Twins(self.space, ("a", "b", "c", "d"))

    objective = Told(spaces.get("transnas_micro"))
    po_nas.search(benchmark=objective, method={"name": "po_nas", "pool": 60}, budget=8, out=tmp_path / "run")
    explanation = tmp_path / "run" / "artifacts" / "explanation.json"
    content = json.loads(explanation.read_text())
    found = {tuple(pair["proxies"]): pair["spearman"] for pair in content["trust"]["redundant"]}
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert found["a", "c"] == pytest.approx(-1)
    page = make_report(tmp_path / "run").page.read_text()
    assert all(f"{a} and {b}" in page and f"{rho:+.3f}" in page for (a, b), rho in found.items())
    content["trust"]["redundant"] = [{"proxies": ["a"], "spearman": 3}]
    explanation.write_text(json.dumps(content))
    assert "trusted" not in make_report(tmp_path / "run").page.read_text()
