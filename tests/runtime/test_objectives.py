"""Searches with several objectives and with limits, from the call to the files."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

import po_nas
from po_nas import Categorical, Int, benchmarks, declare
from po_nas.core.objective import Metric, Objective, Outcome
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.evolution.front import front_of
from po_nas.proxy_scores.goals import with_goals
from po_nas.reports.front import preferred
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from po_nas.runtime.run_directory import repair
from po_nas.runtime.trial_errors import ObjectiveValueError
from po_nas.spaces.declared.errors import InfeasibleError
from po_nas.spaces.restricted import RestrictedSpace
from tests.errors import raised

TABLE = "nasbench201/cifar10"
TWO = {"validation": "max", "params": "min"}


def space():
    return declare("boxes", depth=Int(1, 8), width=Int(1, 8), act=Categorical(["a", "b"]))


def train(config):
    """Wider and deeper is better, and slower."""
    size = config["depth"] * config["width"]
    return {"validation": size - 0.1 * (config["act"] == "b"), "latency": 2.0 * config["depth"] + config["width"]}


def area(config):
    return config["depth"] * config["width"]


def events(out, kind="tell"):
    lines = map(json.loads, (out / "journal.jsonl").read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


def trials(out):
    return [(e["number"], e["architecture"], e.get("metrics")) for e in events(out)]


# -- the front ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["random", "nsga2", "mo_regularized_evolution"])
def test_the_front_of_a_table(tmp_path, method):
    found = po_nas.search(benchmark=TABLE, method=method, budget=25, objectives=TWO, out=tmp_path / "run")
    told = [event["metrics"] for event in events(tmp_path / "run")]
    table = benchmarks.get(TABLE)
    for event in events(tmp_path / "run"):
        row = table.row(table.space.from_string(event["architecture"]))
        assert event["metrics"] == {"validation": table.validation[row], "params": table.extras["params"][row]}
    losses = np.array([[-m["validation"], m["params"]] for m in told])
    assert [row["evaluation"] - 1 for row in found.front] == front_of(losses).tolist()
    assert [row["objectives"] for row in found.front] == [told[row["evaluation"] - 1] for row in found.front]
    assert found.front[0]["architecture"] == found.incumbent
    assert 0 < found.hypervolume < found.hypervolume_true
    assert set(found.reference_point) == set(TWO)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["front"] == found.front


def test_the_front_of_the_whole_table_is_the_true_one(tmp_path):
    small = with_goals(benchmarks.get(TABLE), TWO, {"params": "<= 0.08", "latency": "<= 8"})
    assert small.distinct < 300
    found = po_nas.search(
        benchmark=TABLE,
        method="random",
        budget=small.distinct,
        objectives=TWO,
        constraints={"params": "<= 0.08", "latency": "<= 8"},
        out=tmp_path / "run",
    )
    assert found.hypervolume == pytest.approx(found.hypervolume_true)
    assert found.regret_validation == 0
    run = load_run(tmp_path / "run")
    assert run.hypervolumes() == sorted(run.hypervolumes())
    np.testing.assert_allclose(run.losses(run.front()), run.front_measure.true)


@pytest.mark.parametrize("method", ["gp_bo", "po_nas", pytest.param("gp_proxies", marks=pytest.mark.slow), "nsga2"])
def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_happened(tmp_path, method):
    options = {"population": 4} if method == "nsga2" else {"initial": 5}
    settings = {"method": {"name": method, **options}, "budget": 7, "objectives": {**TWO, "latency": "min"}}
    whole = po_nas.search(benchmark="nasbench201/cifar100", out=tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    repair(tmp_path / "cut", 13)
    resumed = po_nas.resume(tmp_path / "cut")
    assert trials(tmp_path / "cut") == trials(tmp_path / "whole")
    assert (resumed.front, resumed.hypervolume) == (whole.front, whole.hypervolume)


def test_a_model_finds_more_of_the_front_than_chance(tmp_path):
    shares = {}
    for method in ("random", "gp_bo"):
        options = {"name": method, "initial": 6} if method == "gp_bo" else method
        found = po_nas.search(benchmark=TABLE, method=options, budget=16, objectives=TWO, seed=1, out=tmp_path / method)
        shares[method] = found.hypervolume / found.hypervolume_true
    assert shares["gp_bo"] > shares["random"]


def test_methods_for_one_objective_say_so_before_anything_is_spent(tmp_path):
    with raised(ConfigError, "local_search", "nsga2", key="objectives"):
        po_nas.search(benchmark=TABLE, method="local_search", budget=5, objectives=TWO, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- objectives of a function ------------------------------------------------------------------------------------------


def test_a_function_tells_several_metrics(tmp_path):
    asked = {"validation": "max", "latency": "min", "area": "min"}
    settings = {"space": space(), "objective": train, "known_metrics": {"area": area}, "budget": 12}
    found = po_nas.search(method="gp_bo", objectives=asked, out=tmp_path / "run", **settings)
    for event in events(tmp_path / "run"):
        config = json.loads(event["architecture"])
        assert event["metrics"] == {**train(config), "area": area(config)}
    assert found.hypervolume > 0
    assert found.hypervolume_true is None
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    repair(tmp_path / "cut", 20)
    po_nas.resume(tmp_path / "cut", space=space(), objective=train, known_metrics={"area": area})
    assert trials(tmp_path / "cut") == trials(tmp_path / "run")


def test_the_direction_of_a_function_is_that_of_its_objective(tmp_path):
    found = po_nas.search(
        space=space(),
        objective=train,
        method="random",
        budget=9,
        objectives={"validation": "min", "latency": "min"},
        out=tmp_path / "run",
    )
    assert found.validation == min(event["metrics"]["validation"] for event in events(tmp_path / "run"))


def test_a_missing_objective_and_nan_fail_the_trial_alone(tmp_path):
    def partly(config):
        told = train(config)
        if config["act"] == "b" and config["depth"] == 2:
            told["latency"] = float("nan")
        elif config["depth"] == 1:
            del told["latency"]
        return told

    objectives = {"validation": "max", "latency": "min"}
    found = po_nas.search(
        space=space(), objective=partly, method="nsga2", budget=30, objectives=objectives, out=tmp_path / "run"
    )
    failed = {event["architecture"] for event in events(tmp_path / "run", "fail")}
    assert len(failed) == found.failed > 0
    assert all("latency" in event["reason"] for event in events(tmp_path / "run", "fail"))
    for event in events(tmp_path / "run", "ask"):
        config = json.loads(event["architecture"])
        assert (event["architecture"] in failed) == (
            config["depth"] == 1 or (config["act"] == "b" and config["depth"] == 2)
        )


def test_ask_and_tell(tmp_path):
    settings = {"space": space(), "method": "nsga2", "budget": 6, "objectives": {"validation": "max", "latency": "min"}}
    session = po_nas.Session(out=tmp_path / "run", **settings)
    trial = session.ask()
    with raised(ObjectiveValueError):
        session.tell(trial, {"validation": 1.0})
    session.tell(trial, train(trial.config))
    session.close()
    again = po_nas.Session(out=tmp_path / "run", **settings)
    for trial in again:
        again.tell(trial, train(trial.config))
    assert again.result.front
    with raised(ConfigError, key="objectives.latency"):
        po_nas.Session(out=tmp_path / "run", **{**settings, "objectives": {"validation": "max"}})


def test_a_warm_start_brings_all_objectives(tmp_path):
    objectives = {"validation": "max", "latency": "min"}
    settings = {"space": space(), "objective": train, "budget": 6}
    po_nas.search(method="random", objectives=objectives, out=tmp_path / "first", **settings)
    po_nas.search(
        method={"name": "nsga2", "population": 6},
        objectives={**objectives, "area": "min"},
        known_metrics={"area": area},
        warm_start=tmp_path / "first",
        out=tmp_path / "second",
        **settings,
    )
    asked = {event["origin"] for event in events(tmp_path / "second", "ask")}
    assert "initial" not in asked
    assert not {a for _, a, _ in trials(tmp_path / "first")} & {a for _, a, _ in trials(tmp_path / "second")}


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["random", "regularized_evolution", "local_search", "nsga2", "zero_cost", "gp_bo"])
def test_nothing_is_spent_on_what_is_known_to_break_a_limit(tmp_path, method):
    limits = {"params": "<= 0.3", "latency": "< 12 ms", "flops": "> 10, <= 60"}
    found = po_nas.search(benchmark=TABLE, method=method, budget=14, constraints=limits, out=tmp_path / "run")
    table = benchmarks.get(TABLE)
    rows = [table.row(table.space.from_string(event["architecture"])) for event in events(tmp_path / "run")]
    assert len(set(rows)) == 14
    assert (table.extras["params"][rows] <= 0.3).all()
    assert (table.extras["latency"][rows] < 12).all()
    assert ((table.extras["flops"][rows] > 10) & (table.extras["flops"][rows] <= 60)).all()
    within = (table.extras["params"] <= 0.3) & (table.extras["latency"] < 12)
    within &= (table.extras["flops"] > 10) & (table.extras["flops"] <= 60)
    assert found.optimum_validation == table.validation[within].max()
    assert found.infeasible == 0


def test_a_hundredth_of_a_space_without_a_list_is_searched(tmp_path):
    known = {"area": lambda config: config["depth"] * config["width"] + 100 * (config["act"] == "b")}
    found = po_nas.search(
        space=space(),
        objective=train,
        method="regularized_evolution",
        known_metrics=known,
        constraints={"area": "<= 2"},
        budget=3,
        out=tmp_path / "run",
    )
    assert found.evaluations == 3
    assert all(known["area"](json.loads(a)) <= 2 for _, a, _ in trials(tmp_path / "run"))


@pytest.mark.parametrize("method", ["random", "regularized_evolution", "gp_bo"])
def test_limits_that_only_an_evaluation_tells(tmp_path, method):
    found = po_nas.search(
        space=space(),
        objective=train,
        method=method,
        constraints={"latency": "<= 14"},
        budget=16,
        out=tmp_path / "run",
    )
    told = [event["metrics"] for event in events(tmp_path / "run")]
    kept = [metrics["validation"] for metrics in told if metrics["latency"] <= 14]
    assert found.infeasible == len(told) - len(kept)
    assert found.validation == max(kept)
    run = load_run(tmp_path / "run")
    assert run.incumbent().validation == max(kept)
    assert run.incumbents()[-1] == max(kept)


def test_a_model_learns_where_the_limits_are(tmp_path):
    broken = {}
    for method in ("random", "gp_bo"):
        found = po_nas.search(
            space=space(),
            objective=train,
            method=method,
            constraints={"latency": "<= 9"},
            budget=20,
            seed=2,
            out=tmp_path / method,
        )
        broken[method] = found.infeasible, -found.validation
    assert broken["gp_bo"] < broken["random"]


def test_nothing_within_the_limits_is_no_incumbent(tmp_path):
    found = po_nas.search(
        space=space(), objective=train, method="gp_bo", constraints={"latency": "<= 0"}, budget=12, out=tmp_path / "run"
    )
    assert (found.incumbent, found.validation, found.infeasible) == (None, None, 12)
    assert load_run(tmp_path / "run").incumbent() is None


def test_what_is_not_known_of_an_architecture_is_not_proposed():
    table = benchmarks.get(TABLE)
    gaps = {**table.extras, "latency": np.where(np.arange(15_625) % 2, np.nan, table.extras["latency"])}
    partly = dataclasses.replace(table, extras=gaps)
    found = with_goals(partly, {"validation": "max", "latency": "min"}, {})
    assert isinstance(found.space, RestrictedSpace)
    assert found.distinct == 7_813


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key", "settings"),
    [
        (UnknownNameError, None, {"objectives": {"validation": "max", "parms": "min"}}),
        (UnknownNameError, None, {"constraints": {"parms": "<= 3"}}),
        (ConfigError, "objectives.params", {"objectives": {"validation": "max", "params": "less"}}),
        (ConfigError, "objectives.validation", {"objectives": {"validation": "min", "params": "min"}}),
        (ConfigError, "objectives", {"objectives": {"params": "min", "latency": "min"}}),
        (ConfigError, "objectives.params_k", {"objectives": {"validation": "max", "params_k": "min"}}),
        (ConfigError, "objectives.params", {"objectives": {"validation": "max", "params_m": "min", "params": "min"}}),
        (ConfigError, "constraints.params", {"constraints": {"params": "0.3"}}),
        (ConfigError, "constraints.params", {"constraints": {"params": "<= nan"}}),
        (ConfigError, "constraints.latency", {"constraints": {"latency": "<= 5 s"}}),
        (ConfigError, "constraints.latency", {"constraints": {"latency": "<= 5, >= 6"}}),
        (ConfigError, "constraints.latency", {"constraints": {"latency": "< 5, >= 5"}}),
        (ConfigError, "constraints.latency", {"constraints": {"latency": "<= 5, > 5"}}),
        (ConfigError, "constraints.latency", {"constraints": {"latency": "<= 5, < 5, >= 5"}}),
        (ConfigError, "constraints.latency_ms", {"constraints": {"latency": "<= 5", "latency_ms": ">= 6"}}),
        (ConfigError, "constraints.validation", {"constraints": {"validation": "<= 90"}}),
        (ConfigError, "constraints.params", {"objectives": TWO, "constraints": {"params": ">= 1"}}),
        (InfeasibleError, None, {"constraints": {"params": "<= 0.01"}}),
        (ConfigError, "budget.max_evaluations", {"constraints": {"params": "<= 0.0734"}, "budget": 15_000}),
    ],
)
def test_bad_input_is_refused_before_anything_is_spent(tmp_path, kind, key, settings):
    with raised(kind, **({} if key is None else {"key": key})):
        po_nas.search(benchmark=TABLE, **{"method": "random", "budget": 5, **settings}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_function_that_knows_a_metric_and_fails_is_said_at_once(tmp_path):
    def broken(config):
        raise RuntimeError("no idea")

    with raised(ConfigError, "no idea", key="constraints.size"):
        po_nas.search(
            space=space(),
            objective=train,
            method="random",
            known_metrics={"size": broken},
            constraints={"size": "<= 3"},
            budget=3,
            out=tmp_path / "run",
        )


def test_units_may_be_written(tmp_path):
    found = with_goals(
        benchmarks.get(TABLE),
        {"validation": "max", "latency_ms": "min"},
        {"params_m": "<= 0.4", "flops": "<= 60 millions"},
    )
    assert found.goals.names == ("validation", "latency")
    assert [limit.text for limit in found.goals.limits] == ["params <= 0.4", "flops <= 60"]


def test_no_goals_change_nothing():
    table = benchmarks.get(TABLE)
    assert with_goals(table, {}, {}) is table
    assert with_goals(table, {"validation": "max"}, {}) is table


class Measured(Objective):
    """An objective of a user's that declares what its evaluations tell."""

    name = "mine/measured"
    metric = Metric("accuracy", "%")
    metrics = {"energy": Metric("energy", "J", maximize=False)}  # noqa: RUF012 - a constant

    def __init__(self):
        self.space = space()

    def evaluate(self, architecture, *, seed, fidelity=None):
        told = train(self.space.config_of(architecture))
        return Outcome.ok(told["validation"], energy=told["latency"])


def test_an_objective_declares_its_metrics(tmp_path):
    objectives = {"accuracy": "max", "energy": "min"}
    found = po_nas.search(benchmark=Measured(), method="nsga2", budget=8, objectives=objectives, out=tmp_path / "run")
    assert set(found.front[0]["objectives"]) == {"validation", "energy"}
    with raised(UnknownNameError, name="enregy"):
        po_nas.search(
            benchmark=Measured(), method="nsga2", budget=8, constraints={"enregy": "<= 3"}, out=tmp_path / "other"
        )


# -- for the reader ----------------------------------------------------------------------------------------------------


def test_the_page_and_the_choice_of_one(tmp_path):
    po_nas.search(benchmark=TABLE, method="random", budget=20, objectives=TWO, out=tmp_path / "run")
    page = make_report(tmp_path / "run").page.read_text()
    run = load_run(tmp_path / "run")
    front = run.front()
    assert len(front) > 2
    assert all(trial.architecture in page for trial in front)
    assert preferred(run, 2, {}) == front[1], "counted from 1, as status and page do"
    assert preferred(run, None, {"params": 1.0}) == min(front, key=lambda t: t.metrics["params"])
    assert preferred(run, None, {"validation": 3.0}) == front[0]
    assert preferred(run, None, {"validation": 1.0, "params": 1.0}) in front
    for index, weights in (
        (len(front) + 1, {}), (0, {}), (None, {"params": -1.0}), (None, {"params": 0.0}), (1, {"params": 1.0}),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            preferred(run, index, weights)
    with raised(UnknownNameError, name="parms"):
        preferred(run, None, {"parms": 1.0})
    assert run.winner(front[1])["objectives"] == dict(front[1].metrics)


def test_one_objective_has_no_front(tmp_path):
    po_nas.search(benchmark=TABLE, method="random", budget=3, out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.front() == []
    with pytest.raises(ConfigError):
        preferred(run, 0, {})
    assert "goals" not in (tmp_path / "run" / "config.yaml").read_text()
