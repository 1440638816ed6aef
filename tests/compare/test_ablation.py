"""What a proxy adds to searches, in one command."""

from __future__ import annotations

import numpy as np
import pytest

import proxies
from po_nas.compare.ablation import ablation, worth_rows
from po_nas.compare.cell import load_objective
from po_nas.compare.results import Study
from po_nas.errors import ConfigError, ProxiesUnavailableError, UnknownNameError
from po_nas.runtime.config import ProxiesConfig
from tests.commands.test_verbs import invoke, refused
from tests.compare.toy import toy_study
from tests.errors import check, raised

TASK = "nasbench201/cifar10"
PLUGIN = '''
import proxies


@proxies.proxy("weights", passes=(), direction=+1)
def weights(context):
    """Number of weights."""
    return float(sum(p.numel() for p in context.parameters.values()))
'''


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "weights.py"
    path.write_text(PLUGIN)
    yield path
    if "weights" in proxies.registry:
        proxies.registry.remove("weights")


def test_a_plug_in_is_compared_with_and_without_it(tmp_path, plugin):
    words = ("--benchmark", TASK, "--method", "zero_cost", "--option", "pool=5", "--other", "synflow", "--seeds", 5)
    words += ("--budget", 3, "--plugin", plugin, "--workers", 1, "--out", tmp_path / "out")
    result = invoke("proxies", "ablate", "weights", *words)
    assert result.exit_code == 0, result.output
    study = Study.load(tmp_path / "out")
    assert study.methods == ["all", "without weights", "weights alone"]
    assert study.baseline == "without weights"
    assert study.finished
    assert {len(study.seeds(TASK, label)) for label in study.methods} == {5}
    options = study.record["options"]
    assert [options[label]["proxies"] for label in study.methods] == [["synflow", "weights"], ["synflow"], ["weights"]]
    assert all(one["pool"] == 5 for one in options.values())
    # Searches of a seed have the same candidates, so that the pairs differ in the proxies alone.
    alone, without = (
        {study.searches[TASK, label, seed].architecture for seed in range(5)} for label in study.methods[:0:-1]
    )
    assert alone != without
    rows = {tuple(row[:2]): row for row in worth_rows(study)}
    for label in study.methods:
        mean = np.mean(list(study.values("validation", TASK, label, 3).values()))
        assert float(rows[label, "validation"][3]) == pytest.approx(mean, rel=1e-3)
    assert rows["without weights", "validation"][-1] == "reference"
    assert (tmp_path / "out" / "report.html").is_file()
    for row in rows.values():
        assert "\t".join(row) in result.output


def test_recorded_scores_are_not_computed():
    config = ablation("jacov", TASK, method="zero_cost", others=["nwot", "az_*"], seeds=2, budget=3)
    recorded = load_objective(TASK, None, ProxiesConfig()).proxies.names
    assert set(config.proxies.compute) == {"nwot", *proxies.names("az_*")} - set(recorded) != set()
    assert config.methods["without jacov"].options["proxies"][0] == "nwot"
    everything = ablation("jacov", TASK, seeds=[3, 4], budget=3)
    assert everything.seeds == (3, 4)
    assert not everything.proxies.compute
    chosen = {label: set(method.options["proxies"]) for label, method in everything.methods.items()}
    assert chosen["all"] - chosen["without jacov"] == chosen["jacov alone"] == {"jacov"}
    assert chosen["all"] == set(recorded)


def test_what_cannot_be_compared_is_refused(tmp_path):
    with raised(ConfigError, key="method", value="random"):
        ablation("jacov", TASK, method="random")
    with raised(ConfigError, key="options", value="proxies"):
        ablation("jacov", TASK, options={"proxies": ["nwot"]})
    with raised(UnknownNameError, name="jacob", suggestion="jacov"):
        ablation("jacob", TASK)
    with raised(UnknownNameError, name="nwod"):
        ablation("jacov", TASK, others=["nwod"])
    with raised(ProxiesUnavailableError, "'jacov'"):
        ablation("jacov", TASK, others=["jacov"])
    check(refused("proxies", "ablate", "jacov", "--method", "pwlnas"), key="method", value="pwlnas")


def test_verdicts_are_about_the_proxy_not_about_the_reference(tmp_path):
    rng = np.random.default_rng(0)
    found = {}
    for seed in range(8):
        base = float(rng.uniform(4, 5))
        found["b", "without x", seed] = [base]
        found["b", "all", seed] = [base + 1 + seed / 100]
        found["b", "x alone", seed] = [base - 1 - seed / 100]
    for direction, better, worse in (("maximize", "all", "x alone"), ("minimize", "x alone", "all")):
        study = toy_study(tmp_path / direction, found, direction=direction, reference="without x")
        rows = {row[0]: row for row in worth_rows(study) if row[1] == "validation"}
        assert (rows[better][-1], rows[worse][-1], rows["without x"][-1]) == ("better", "worse", "reference")
        assert float(rows[better][4]) == pytest.approx(1.035, rel=1e-2)
        assert float(rows[worse][4]) == pytest.approx(-1.035, rel=1e-2)
    few = toy_study(tmp_path / "few", {key: value for key, value in found.items() if key[2] < 3}, reference="without x")
    assert {row[-1] for row in worth_rows(few)} == {"–", "reference"}
