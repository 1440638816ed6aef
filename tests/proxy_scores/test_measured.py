from __future__ import annotations

import itertools
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import po_nas
from po_nas import Int
from po_nas.core.objective import Objective, Outcome
from po_nas.errors import ConfigError
from po_nas.proxy_scores import measured
from po_nas.proxy_scores.measured import LatencySettings, with_measured
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.function_objective import FunctionObjective
from po_nas.spaces.declared import declare
from po_nas.spaces.declared.errors import DeclarationError
from proxies.profiling import Latency, peak_memory
from tests.errors import raised

SETTINGS = LatencySettings("cpu", 1, 2, 0.01)


def build(width, depth):
    widths = [7, *[width] * depth, 2]
    return nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(widths)))


def own():
    space = declare("measured_mlp", width=Int(1, 64), depth=Int(1, 3))
    space.network(example_inputs=torch.ones(5, 7))(build)
    return space


class Told(Objective):
    name, metric = "told", po_nas.core.objective.Metric("accuracy")

    def __init__(self):
        self.space = own()

    def evaluate(self, architecture, *, seed, fidelity=None):
        width = self.space.config_of(architecture)["width"]
        return Outcome.failed("odd") if width == 63 else Outcome.ok(width / 64, cost_s=2.0)


CALLS = []


def told(module, batch, **settings):
    CALLS.append((len(batch), settings))
    return Latency(float(sum(p.numel() for p in module.parameters())), 0.0, 5, len(batch), "cpu", 1)


@pytest.fixture
def clock(monkeypatch):
    """A latency that is told by the number of parameters; the calls."""
    CALLS.clear()
    monkeypatch.setattr(measured, "measure_latency", told)
    return CALLS


def test_latency_is_measured_with_the_evaluation_and_once_for_an_architecture(tmp_path, clock):
    file = tmp_path / "latency.sqlite"
    objective = with_measured(Told(), ["validation", "latency_ms"], SETTINGS, file)
    assert objective.metrics["latency"].unit == "ms"
    architecture = objective.space.architecture_of({"width": 9, "depth": 2})
    found = objective.evaluate(architecture, seed=0)
    assert found.metrics == {"validation": 9 / 64, "latency": 7 * 9 + 9 + 9 * 9 + 9 + 9 * 2 + 2}
    assert found.cost_s == 2.0
    assert clock == [(2, {"threads": 1, "seconds": 0.01})]
    again = pickle.loads(pickle.dumps(with_measured(Told(), ["latency"], SETTINGS, file)))
    assert again.evaluate(architecture, seed=1).metrics["latency"] == found.metrics["latency"]
    assert len(clock) == 1
    with_measured(Told(), ["latency"], SETTINGS._replace(threads=2), file).evaluate(architecture, seed=0)
    assert len(clock) == 2, "another setting is measured again"
    failed = objective.evaluate(objective.space.architecture_of({"width": 63, "depth": 1}), seed=0)
    assert failed.failure == "odd"
    assert len(clock) == 2


def test_latencies_that_cannot_be_kept_are_measured_all_the_same(tmp_path, clock):
    objective = with_measured(Told(), ["latency"], SETTINGS, tmp_path)
    architecture = objective.space.architecture_of({"width": 1, "depth": 1})
    values = [objective.evaluate(architecture, seed=0).metrics["latency"] for _ in range(2)]
    assert values[0] == values[1]
    assert len(clock) == 2


def test_networks_that_cannot_run_fail_the_evaluation(tmp_path):
    objective = with_measured(Told(), ["latency"], SETTINGS, tmp_path / "latency.sqlite")
    objective.space.network(example_inputs=torch.ones(5, 9))(lambda width, depth: nn.Linear(7, 1))
    failed = objective.evaluate(objective.space.architecture_of({"width": 1, "depth": 1}), seed=0)
    assert failed.failure.startswith("latency: ")


def test_memory_is_known_without_an_evaluation(tmp_path):
    objective = with_measured(Told(), ["memory_mb"], SETTINGS, tmp_path / "latency.sqlite")
    assert objective.metrics["memory"].known
    drawn = [objective.space.sample(np.random.default_rng(seed)) for seed in range(5)]
    wanted = [peak_memory(objective.space.build(a), torch.ones(2, 7)) for a in drawn]
    steps = []
    objective.watch(steps.append)
    assert objective.known(drawn, ["memory"])["memory"].tolist() == wanted
    assert objective.known(drawn, ["memory"])["memory"].tolist() == wanted
    assert sum(step.wanted for step in steps) == sum(step.computed for step in steps) == len(set(drawn))
    assert pickle.loads(pickle.dumps(objective)).known(drawn[:1], ["memory"])["memory"] == wanted[0]


def test_nothing_is_added_that_is_there_or_not_wanted(tmp_path):
    plain = Told()
    assert with_measured(plain, ["validation", "params"], SETTINGS, tmp_path) is plain
    plain.metrics = {"latency": po_nas.core.objective.Metric("latency", "s", maximize=False)}
    assert with_measured(plain, ["latency"], SETTINGS, tmp_path) is plain


def test_what_a_function_may_tell_is_measured_where_that_is_said(tmp_path):
    function = FunctionObjective(own(), lambda config: {"validation": 1.0, "latency": 7.0, "memory": 8.0})
    assert with_measured(function, ["latency", "memory"], None, tmp_path) is function
    assert set(with_measured(function, ["latency", "memory"], SETTINGS, tmp_path).metrics) == {"latency"}
    file = tmp_path / "latency.sqlite"
    objective = with_measured(function, ["latency_ms", "memory_mb"], None, file)
    assert set(objective.metrics) == {"latency", "memory"}
    architecture = objective.space.architecture_of({"width": 1, "depth": 1})
    assert objective.evaluate(architecture, seed=0).metrics["latency"] != 7.0


def test_a_space_without_networks_is_refused_at_once(tmp_path):
    bare = FunctionObjective(declare("bare", width=Int(1, 4)), lambda config: 1.0)
    with pytest.raises(DeclarationError):
        with_measured(bare, ["latency_ms"], None, tmp_path)


def test_a_device_that_is_not_here(tmp_path):
    with raised(ConfigError, key="latency.device", value="abacus"):
        with_measured(Told(), ["latency"], SETTINGS._replace(device="abacus"), tmp_path)


def test_a_search_with_both(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    seen = []

    class Watching(Callback):
        def on_score(self, progress):
            seen.append(progress)

    result = po_nas.search(
        benchmark=Told(),
        method="nsga2",
        budget=12,
        objectives={"validation": "max", "latency_ms": "min"},
        constraints={"memory_mb": "<= 0.005"},
        latency={"seconds": 0.01},
        callbacks=[Watching()],
        out=tmp_path / "run",
    )
    events = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    told = [event["metrics"] for event in events if event["event"] == "tell"]
    assert len(told) + result.failed == 12
    assert all(metrics["latency"] > 0 and metrics["memory"] <= 0.005 for metrics in told)
    assert result.front
    assert seen[-1].done == seen[-1].wanted == len(seen) // 2, "memory is computed one by one, and said"
