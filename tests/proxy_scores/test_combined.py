from __future__ import annotations

import numpy as np
import pytest

import po_nas
import proxies
from po_nas import benchmarks, networks, spaces
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.proxy_scores.combined import with_computed_proxies
from po_nas.research.proxy_correlation.run import correlate_computed
from po_nas.runtime.api import run_search
from po_nas.runtime.config import SearchConfig
from po_nas.testing import ToyObjective
from tests.errors import raised
from tests.methods.toy import ToyMetrics

QUICK = {"nasbench201/cifar100", "nasbench201/imagenet16-120", "nasbench_graph/cora", "transnas_micro/jigsaw"}
TABLES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in benchmarks.names()
    if not benchmarks.trains(name)
]


@pytest.mark.parametrize("name", TABLES)
def test_inputs_fit_the_networks_of_every_benchmark(name, public_data):
    spec = benchmarks.registry.entry(name).spec
    if spec.dataset:
        public_data(spec.dataset)
    objective = benchmarks.get(name)
    space = objective.space
    network, batch = objective.example_inputs(2)
    built = space.build(space.sample(np.random.default_rng(0)), **_small(space.name, network))
    scores = proxies.evaluate(built, batch, ["grad_norm"])
    assert np.isfinite(scores.values["grad_norm"])
    task = name.partition("/")[2]
    if task == "cifar100":
        assert network["num_classes"] == 100
    if task == "imagenet16-120":
        assert batch.inputs[0].shape[-1] == 16


def _small(space, network):
    """Fewer channels and cells, for speed."""
    smaller = {"channels": 4, "cells": 1 if space != "darts" else 3}
    return network | {k: v for k, v in smaller.items() if k in networks.options(space)}


def test_a_space_without_networks_is_refused(monkeypatch):
    bare = ToyObjective(spaces.get("nasbench201"))
    monkeypatch.setattr(networks.registry, "_entries", {})
    with raised(ConfigError, key="proxies.compute", value="nasbench201"):
        with_computed_proxies(bare, ["params"])


class Recorded(ToyObjective):
    @property
    def proxies(self):
        return ToyMetrics(self.space)


def test_computed_metrics_stand_beside_recorded_ones():
    objective = Recorded(spaces.get("nasbench201"))
    wrapped = with_computed_proxies(objective, ["params"])
    rng = np.random.default_rng(0)
    architectures = [objective.space.sample(rng) for _ in range(3)]
    found = wrapped.proxies.values(architectures, ["m1", "params", "m0"])
    recorded = objective.proxies.values(architectures, ["m1", "m0"])
    assert found[:, [0, 2]] == pytest.approx(recorded)
    assert found[:, 1] == pytest.approx(
        [sum(p.numel() for p in objective.space.build(a).parameters()) for a in architectures]
    )
    assert wrapped.proxies.computed == 3
    assert wrapped.proxies.names == ("params", "m0", "m1", "m2")
    with pytest.raises(UnknownNameError):
        wrapped.proxies.values(architectures, ["nonsense"])
    assert "a toy" in wrapped.protocol()["proxies"]


def test_a_search_computes_what_its_configuration_names(tmp_path):
    path = tmp_path / "scores.sqlite"
    config = {"compute": ["params"], "cache": str(path)}
    objective = ToyObjective(spaces.get("nasbench201"))
    search = SearchConfig.model_validate(
        {
            "benchmark": objective.name,
            "method": {"name": "po_nas", "pool": 12},
            "budget": {"max_evaluations": 8},
            "proxies": config,
        }
    )
    result = run_search(search, tmp_path / "run", objective=objective)
    assert result.evaluations == 8
    assert path.exists()
    again = po_nas.resume(tmp_path / "run", objective=objective)
    assert again.incumbent == result.incumbent


def test_proxies_are_correlated_on_a_sample():
    (found,), missing = correlate_computed(["nasbench201/cifar10"], ["params"], sample=40, resamples=20)
    (agreement,) = found.found
    assert not missing
    assert agreement.rows == 40
    # All 15,625 cells have 0.53.
    assert 0.2 < agreement.kendall < 0.85
    with pytest.raises(UnknownNameError):
        correlate_computed(["nasbench202/*"], ["params"])


def test_a_proxy_that_fails_is_left_out_with_its_reason(monkeypatch):
    def broken(context):
        raise ArithmeticError("4711")

    monkeypatch.setattr(proxies.registry, "get", lambda name: broken)
    compared, missing = correlate_computed(["nasbench201/cifar10"], ["params"], sample=10)
    assert compared == []
    assert len(missing) == 2
    assert any("params" in reason and "ArithmeticError: 4711" in reason for reason in missing)
    assert all("nasbench201/cifar10" in reason for reason in missing)
