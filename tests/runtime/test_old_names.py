"""Names of version 0.1: understood for one version with a warning, and without one in what that version wrote."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import yaml

import po_nas
from po_nas import errors, methods
from po_nas.compare.design import ComparisonConfig, load_comparison
from po_nas.compare.runs import read_runs
from po_nas.core.settings import validated
from po_nas.errors import ConfigError, RenamedWarning, UnknownNameError
from po_nas.reports.page import make_report
from po_nas.runtime.config import SearchConfig, load_config, search_config
from po_nas.runtime.run_directory import read_config
from po_nas.training.objective import TrainingOptions
from tests.commands.test_command_line import po_nas as command
from tests.errors import check, one_line, raised

LEAST = ("benchmark=nasbench201/cifar10", "method=random", "budget=5")
RUNS = Path(__file__).parent / "runs_of_0.1"


@pytest.fixture
def silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RenamedWarning)
        yield


def warned(caught):
    return [(w.message.old, w.message.new) for w in caught if isinstance(w.message, RenamedWarning)]


@pytest.mark.parametrize("old", ["metrics=nwot", "metrics=[nwot]", "metrics.compute=nwot"])
def test_the_section_of_proxies_in_overrides(old):
    with pytest.warns(RenamedWarning) as caught:
        config = load_config(None, [*LEAST, old])
    assert warned(caught) == [("metrics", "proxies")]
    assert config.proxies.compute == ("nwot",)
    assert config == load_config(None, [*LEAST, old.replace("metrics", "proxies")])


def test_an_override_of_today_goes_over_a_file_of_before(tmp_path):
    (tmp_path / "old.yaml").write_text("metrics: {compute: [nwot], samples: 8}\n")
    with pytest.warns(RenamedWarning):
        config = load_config(tmp_path / "old.yaml", [*LEAST, "proxies=synflow"])
    assert (config.proxies.compute, config.proxies.samples) == (("synflow",), 8)


def test_both_names_at_once_are_refused(tmp_path):
    (tmp_path / "both.yaml").write_text("metrics: [nwot]\nproxies: [nwot]\n")
    with raised(ConfigError, "proxies", key="metrics", value=["nwot"]):
        load_config(tmp_path / "both.yaml", LEAST)
    given = load_config(None, LEAST).model_dump(mode="json")
    with raised(ConfigError, "proxies", key="metrics"):
        search_config(given | {"metrics": {}})
    options = {"metrics": ("nwot",), "proxies": ("nwot",)}
    with raised(ConfigError, "proxies", key="method.metrics"):
        validated(methods.registry.get("robot").Options, options, prefix="method.")


def test_a_configuration_as_a_mapping():
    given = load_config(None, [*LEAST, "proxies=nwot"]).model_dump(mode="json")
    given["metrics"] = given.pop("proxies")
    with pytest.warns(RenamedWarning):
        assert SearchConfig.model_validate(given).proxies.compute == ("nwot",)


def test_the_python_argument(tmp_path):
    settings = {"benchmark": "nasbench_graph/proteins", "method": "random", "budget": 2}
    with pytest.warns(RenamedWarning) as caught:
        po_nas.search(**settings, metrics={"objective": "params"}, out=tmp_path / "run")
    assert warned(caught) == [("metrics", "proxies")]
    assert read_config(tmp_path / "run").proxies.objective == "params"
    with raised(ConfigError, key="metrics"):
        po_nas.search(**settings, metrics=["params"], proxies=["params"], out=tmp_path / "both")


def test_a_study(tmp_path):
    study = {"benchmarks": "nasbench_graph/proteins", "methods": ["gp_metrics"], "seeds": 1, "budget": 8}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"metrics": {"samples": 8}}))
    with pytest.warns(RenamedWarning) as caught:
        config = load_comparison(tmp_path / "study.yaml")
    assert set(warned(caught)) == {("metrics", "proxies"), ("gp_metrics", "gp_proxies")}
    assert config.proxies.samples == 8
    # Tables keep the label, results are those of the method of today.
    assert {label: method.name for label, method in config.methods.items()} == {"gp_metrics": "gp_proxies"}
    with pytest.warns(RenamedWarning):
        assert ComparisonConfig.model_validate(study | {"metrics": ["nwot"]}).proxies.compute == ("nwot",)


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("po_nas", {"metrics": ("a",), "metric_budget": 7}, {"proxies": ("a",), "proxy_budget": 7}),
        ("gp_proxies", {"metrics": ("a",)}, {"proxies": ("a",)}),
        ("po_nas_paper", {"metrics": ("a",), "metric_budget": 7}, {"proxies": ("a",), "proxy_budget": 7}),
        ("robot", {"metrics": ("a",)}, {"proxies": ("a",)}),
        ("zero_cost", {"metrics": ("a",), "metric": "a"}, {"proxies": ("a",), "proxy": "a"}),
    ],
)
def test_options_of_methods(method, old, new):
    kind = methods.registry.get(method).Options
    with pytest.warns(RenamedWarning) as caught:
        assert kind(**old) == kind(**new)
    assert dict(warned(caught)) == dict(zip(old, new, strict=True))


def test_options_of_trainings():
    with pytest.warns(RenamedWarning):
        assert TrainingOptions(scored=8).proxy_batch == 8


def test_a_method_by_its_old_name():
    assert "gp_metrics" not in methods.names()
    assert "gp_metrics" in methods.registry
    with pytest.warns(RenamedWarning) as caught:
        assert methods.registry.get("gp_metrics") is methods.registry.get("gp_proxies")
    check(caught[0].message, kind="method", old="gp_metrics", new="gp_proxies")
    with pytest.warns(RenamedWarning):
        assert load_config(None, [*LEAST, "method=gp_metrics"]).method.name == "gp_proxies"
    with raised(UnknownNameError):
        methods.registry.get("gp_metric")


def test_names_of_errors():
    assert errors.MetricsUnavailableError is errors.ProxiesUnavailableError
    assert errors.EvolvedMetricError is errors.EvolvedProxyError


def test_the_command_says_it_in_one_line(tmp_path):
    settings = ("benchmark=nasbench_graph/proteins", "method=random", "budget=2", "metrics.samples=8")
    done = command("search", *settings, "--out", tmp_path / "run")
    assert done.returncode == 0
    one_line(done.stderr.splitlines(keepends=True)[0], "metrics", "proxies")
    assert done.stderr.count("metrics") == 2


# -- what version 0.1 wrote ---------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A finished run of `po_nas`, with the names of version 0.1 in its record and in what it has learned."""
    path = tmp_path / "run"
    shutil.copytree(RUNS / "po_nas", path)
    return path


@pytest.mark.usefixtures("silent")
def test_a_run_is_read_and_resumed_without_a_warning(run):
    record = yaml.safe_load((run / "config.yaml").read_text())
    assert {"metrics"} <= set(record["search"])
    assert "by_metrics" in record["search"]["method"]
    assert "Proxies it trusted" in make_report(run).page.read_text()
    (trust,) = read_runs([run]).trust
    assert trust.proxies == tuple(json.loads((run / "artifacts/explanation.json").read_text())["trust"]["metrics"])
    (run / "summary.json").unlink()
    assert po_nas.resume(run).evaluations == 8


@pytest.mark.usefixtures("silent")
def test_its_record_is_a_configuration(run):
    assert load_config(run / "config.yaml", ["proxies=nwot"]).proxies.compute == ("nwot",)


@pytest.mark.usefixtures("silent")
def test_a_record_with_the_old_name_of_a_method(run):
    record = yaml.safe_load((run / "config.yaml").read_text())
    record["search"]["method"] = {"name": "gp_metrics", "metrics": ["params"]}
    record["search"]["training"] = {"scored": 8}
    (run / "config.yaml").write_text(yaml.safe_dump(record))
    found = read_config(run)
    assert found.method.name == "gp_proxies"
    assert found.training == {"proxy_batch": 8}
