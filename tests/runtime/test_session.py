"""Ask and tell."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch

import po_nas
from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.errors import BudgetError, ConfigError, RunDirectoryError, RunLockedError, UnknownNameError
from po_nas.reports.page import make_report
from po_nas.reports.run import load_run
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.trial_errors import ObjectiveValueError, SessionEndedError, TrialError
from po_nas.spaces.declared import SpaceChangedError
from po_nas.testing import ToyObjective
from tests.errors import raised

from .helpers import trials
from .own import Options, Walk

SPACE = spaces.get("transnas_micro")
TOY = ToyObjective(SPACE)


def session(out, **changes):
    return po_nas.Session(**{"space": SPACE, "method": "random", "budget": 5, "out": out} | changes)


def value(trial, objective=TOY):
    return objective.evaluate(objective.space.from_string(trial.architecture), seed=trial.seed)


def asked_and_told(directory):
    """The trials of a journal but for times and names of the objective's further metrics."""
    return [{k: v for k, v in event.items() if k not in {"cost_s", "clock_s", "metrics", "group"}} | {
        "validation": event.get("metrics", {}).get("validation")
    } for event in trials(directory)]  # fmt: skip


@pytest.mark.parametrize("method", ["random", "gp_bo", {"name": "regularized_evolution", "population": 4}])
def test_driven_by_an_objective_it_is_the_search(tmp_path, method):
    whole = po_nas.search(benchmark=TOY, method=method, budget=14, seed=3, out=tmp_path / "search")
    asked = session(tmp_path / "asked", method=method, budget=14, seed=3)
    for trial in asked:
        asked.tell(trial, value(trial))
    assert trials(tmp_path / "asked") == trials(tmp_path / "search")
    for name in ("incumbent", "validation", "evaluations", "failed", "cost_s", "ended"):
        assert getattr(asked.result, name) == getattr(whole, name)


def test_with_a_table_it_is_the_search_on_the_table(tmp_path):
    from po_nas import benchmarks

    whole = po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=6, out=tmp_path / "search")
    table = benchmarks.get("nasbench201/cifar10")
    with po_nas.Session(benchmark="nasbench201/cifar10", method="random", budget=6, out=tmp_path / "asked") as asked:
        for trial in asked:
            asked.tell(trial, value(trial, table))
    assert trials(tmp_path / "asked") == trials(tmp_path / "search")
    assert (asked.result.test, asked.result.regret_test) == (whole.test, whole.regret_test)


def test_several_may_be_pending_and_told_in_any_order(tmp_path):
    asked = session(tmp_path / "run")
    some = [asked.ask() for _ in range(4)]
    assert asked.pending == some
    assert len({trial.architecture for trial in some}) == 4
    for trial in (some[2], some[0], some[3]):
        asked.tell(trial, value(trial))
    assert asked.pending == [some[1]]
    asked.tell(some[1].number, 0.5)
    assert [trial.number for trial in asked] == [4], "iteration ends where the budget does"
    assert asked.result.evaluations == 4
    assert asked.ended is None, "the fifth is pending"
    asked.tell(4, 1.0)
    assert asked.ended == asked.result.ended == load_run(tmp_path / "run").ended
    with raised(SessionEndedError, reason=asked.ended):
        asked.ask()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (1, 1.0), (np.float32(0.5), 0.5), (np.int64(3), 3.0), (np.array(2.0), 2.0), (torch.tensor(1.5), 1.5),
        (torch.tensor(4, requires_grad=False), 4.0), ({"validation": torch.tensor(0.25)}, 0.25),
        (Outcome.ok(0.75, cost_s=3.0), 0.75),
    ],
)  # fmt: skip
def test_what_may_be_told(tmp_path, told, expected):
    asked = session(tmp_path / "run", budget=1)
    asked.tell(asked.ask(), told)
    assert asked.result.validation == expected


@pytest.mark.parametrize(
    "told",
    [None, "0.9", (0.9, 1), [0.9], True, np.bool_(True), np.ones(1), torch.ones(2), 1j, {"accuracy": 0.9}, {}, object(),
     {"validation": None}, {1: 0.5}, {"validation": 1.0, "cost_s": 3.0}],
)  # fmt: skip
def test_what_is_no_number_is_refused_in_a_line_and_the_trial_stays(tmp_path, told):
    asked = session(tmp_path / "run", budget=1)
    trial = asked.ask()
    with raised(ObjectiveValueError, source="the caller") as caught:
        asked.tell(trial, told)
    assert "\n" not in str(caught.value)
    assert asked.pending == [trial]
    asked.tell(trial, 1.0)
    assert asked.result.evaluations == 1


def test_metrics_by_name_and_the_direction(tmp_path):
    asked = session(tmp_path / "run", metric="loss", maximize=False, budget=3)
    for loss in (3.0, 1.0, 2.0):
        asked.tell(asked.ask(), {"loss": loss, "size": 7, "odd": math.nan}, cost_s=10.0)
    assert (asked.result.validation, asked.result.cost_s) == (1.0, 30.0)
    run = load_run(tmp_path / "run")
    assert run.incumbent().number == 1
    assert not run.maximize
    tells = [event for event in trials(tmp_path / "run") if event["event"] == "tell"]
    assert [event["metrics"] for event in tells] == [{"validation": v, "size": 7.0} for v in (3.0, 1.0, 2.0)]


def test_failures_count_and_say_why(tmp_path):
    asked = session(tmp_path / "run", budget=3)
    asked.tell(asked.ask(), failure="no memory")
    try:
        raise ValueError("odd \udcff text")
    except ValueError as error:
        trial = asked.ask()
        asked.tell(trial, failure=error)
    asked.tell(asked.ask(), math.nan)
    assert (asked.result.evaluations, asked.result.failed, asked.result.incumbent) == (3, 3, None)
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    fails = [event for event in events if event["event"] == "fail"]
    assert fails[0]["reason"] == "no memory"
    assert "test_session.py" in fails[1]["traceback"]
    assert fails[1]["config"] == trial.config
    assert "traceback" not in fails[0]


def test_a_wrong_trial_is_refused(tmp_path):
    asked, other = session(tmp_path / "run", seed=1), session(tmp_path / "other", seed=2)
    trial, theirs = asked.ask(), other.ask()
    for wrong, number in ((7, 7), (-1, -1), (theirs, 0), ("x", "x"), (True, True), (None, None)):
        with raised(TrialError, trial=number):
            asked.tell(wrong, 1.0)
    with raised(TrialError, trial=0):
        asked.tell(trial, 1.0, failure="both")
    asked.tell(trial, 1.0)
    for again in (1.0, 2.0):
        with raised(TrialError, trial=0):
            asked.tell(trial, again)
    assert asked.result.evaluations == 1


@pytest.mark.processes
def test_the_same_call_goes_on_and_so_does_resume(tmp_path):
    whole = session(tmp_path / "whole", method="gp_bo", budget=12)
    for trial in whole:
        whole.tell(trial, value(trial))
    code = """
import sys, os
from tests.runtime.test_session import *
asked = session(sys.argv[1], method="gp_bo", budget=12)
for trial in asked:
    asked.tell(trial, value(trial))
    if trial.number == 8:
        asked.ask()
        os._exit(9)
"""
    killed = tmp_path / "constructor"
    done = subprocess.run([sys.executable, "-c", code, str(killed)], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    shutil.copytree(killed, tmp_path / "resume")
    for out in (killed, tmp_path / "resume"):
        asked = session(out, method="gp_bo", budget=12) if out == killed else po_nas.Session.resume(out)
        assert [trial.number for trial in asked.pending] == [9]
        for trial in asked:
            asked.tell(trial, value(trial))
        assert trials(out) == trials(tmp_path / "whole")
        again = session(out, method="gp_bo", budget=12)
        assert again.ended == asked.ended
        assert again.result == asked.result


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 4}, "seed"), ({"budget": 9}, "budget.max_evaluations"), ({"method": "gp_bo"}, "method.name"),
        ({"maximize": False}, "direction"), ({"metric": "x"}, "metric"),
    ],
)  # fmt: skip
def test_another_search_is_not_gone_on_with(tmp_path, changes, key):
    session(tmp_path / "run").close()
    before = (tmp_path / "run/journal.jsonl").read_bytes()
    with raised(ConfigError, key=key):
        session(tmp_path / "run", **changes)
    assert (tmp_path / "run/journal.jsonl").read_bytes() == before


def test_one_at_a_time_has_the_directory(tmp_path):
    first = session(tmp_path / "run")
    trial = first.ask()
    code = "import sys, po_nas\npo_nas.Session.resume(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert RunLockedError.__name__ in done.stderr
    second = session(tmp_path / "run")  # the cell of a notebook, run again
    assert second.pending == [trial]
    with pytest.raises(SessionEndedError):
        first.tell(trial, 1.0)
    second.tell(trial, 1.0)
    second.close()
    second.close()
    with pytest.raises(SessionEndedError):
        second.ask()
    assert second.result.evaluations == 1


def test_what_cannot_be_searched_says_so_before_there_is_a_directory(tmp_path):
    with raised(ConfigError, key="space"):
        po_nas.Session(method="random", budget=3, out=tmp_path / "run")
    with raised(UnknownNameError, name="dart"):
        session(tmp_path / "run", space="dart")
    with raised(BudgetError, key="budget"):
        session(tmp_path / "run", budget={})
    with raised(ConfigError, key="method.pol"):
        session(tmp_path / "run", method={"name": "gp_bo", "pol": 3})
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunDirectoryError):
        po_nas.Session.resume(tmp_path / "nothing")


def test_status_report_callbacks_and_the_end_of_a_space(tmp_path):
    heard = []

    class Seen(Callback):
        def on_ask(self, trials):
            heard.append("ask")

        def on_tell(self, trial, outcome, progress):
            heard.append(progress.evaluations)

        def on_end(self, summary):
            heard.append(summary["evaluations"])

    asked = session(tmp_path / "run", budget=2, callbacks=[Seen()])
    asked.tell(asked.ask(), 1.0)
    assert len(load_run(tmp_path / "run").told) == 1
    asked.tell(asked.ask(), 2.0)
    assert heard == ["ask", 1, "ask", 2, 2]
    assert make_report(tmp_path / "run").page.is_file()
    assert load_run(tmp_path / "run").summary["validation"] == 2.0


@pytest.mark.parametrize("method", [Walk, Walk(None, seed=0, options=Options(start=2))])
def test_methods_may_be_classes_and_instances(tmp_path, method):
    start = 0 if method is Walk else 2
    found = po_nas.search(benchmark=TOY, method=method, budget=3, out=tmp_path / "search")
    assert found.evaluations == 3
    first = [event["architecture"] for event in trials(tmp_path / "search") if event["event"] == "ask"]
    listed = [SPACE.to_string(a) for _, a in zip(range(4 * (start + 1)), SPACE.enumerate(), strict=False)]
    assert first[0] == listed[start]
    asked = session(tmp_path / "asked", method=method, budget=3)
    asked.tell(asked.ask(), 1.0)
    asked.close()
    with raised(UnknownNameError, name=f"{Walk.__module__}.Walk"):
        po_nas.Session.resume(tmp_path / "asked")
    asked = po_nas.Session.resume(tmp_path / "asked", method=Walk)
    assert [trial.architecture for trial in asked] == first[1:]
    with raised(ConfigError, key="method"):
        session(tmp_path / "other", method=dict)


def test_proxies_are_scored_on_inputs_of_the_caller(tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    method = {"name": "zero_cost", "fusion": "single", "proxy": "params", "pool": 5}
    asked = session(
        tmp_path / "run", space="nasbench201", method=method, proxies=["params"], budget=2,
        example_inputs=torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)),
    )  # fmt: skip
    for trial in asked:
        asked.tell(trial, 1.0)
    assert asked.result.scores_computed == 5


def test_a_declared_space(tmp_path):
    def declared(deepest=4):
        return po_nas.declare("asked_mlp", depth=po_nas.Int(1, deepest), lr=po_nas.Float(1e-3, 1e-1, log=True))

    asked = session(tmp_path / "run", space=declared(), budget=4)
    first = asked.ask()
    assert set(first.config) == {"depth", "lr"}
    assert first.config == json.loads(first.architecture)
    asked.tell(first, 1.0)
    asked.close()
    with pytest.raises(SpaceChangedError):
        session(tmp_path / "run", space=declared(5), budget=4)
    again = po_nas.Session.resume(tmp_path / "run")
    for trial in again:
        again.tell(trial, float(trial.config["depth"]))
    assert again.result.evaluations == 4


@pytest.mark.parametrize("cost_s", [-1, math.nan, math.inf, "3", [1]])
def test_a_cost_that_is_none_is_refused_and_the_trial_stays(tmp_path, cost_s):
    asked = session(tmp_path / "run", budget=1)
    trial = asked.ask()
    with raised(ObjectiveValueError, source="the caller"):
        asked.tell(trial, 0.5, cost_s=cost_s)
    assert asked.pending == [trial]


@pytest.mark.parametrize(
    "told",
    [Outcome({}), Outcome({"validation": 1.0}, -5), Outcome({"validation": math.nan}), Outcome({"validation": "a"})],
)
def test_an_outcome_is_checked_before_it_is_kept(tmp_path, told):
    asked = session(tmp_path / "run", budget=2)
    trial = asked.ask()
    with suppress(ObjectiveValueError):
        asked.tell(trial, told)
    for pending in asked.pending:
        asked.tell(pending, 1.0)
    asked.close()
    again = session(tmp_path / "run", budget=2)
    again.tell(again.ask(), 1.0)
    assert again.result.evaluations == 2


def test_what_is_nan_is_a_failure_and_what_lacks_is_asked_for(tmp_path):
    space = po_nas.declare("told", a=po_nas.Int(1, 9), b=po_nas.Int(1, 9))
    asked = po_nas.Session(
        space=space, method="random", budget=3, metric="acc", objectives={"acc": "max", "latency_ms": "min"},
        constraints={"area": "<= 90"}, known_metrics={"area": lambda c: math.nan if c["a"] == 5 else c["a"]},
        example_inputs=torch.zeros(2, 3), out=tmp_path / "run",
    )  # fmt: skip
    trial = asked.ask()
    with raised(ObjectiveValueError, "latency", "acc"):
        asked.tell(trial, {"acc": 0.5})
    asked.tell(trial, {"acc": 0.5, "latency_ms": 2.0})
    asked.tell(asked.ask(), {"acc": 0.5, "latency": math.nan})
    asked.tell(asked.ask(), {"acc": 0.5, "latency": 1.0})
    assert (asked.result.evaluations, asked.result.failed) == (3, 1)


def test_objectives_in_another_order_are_another_search(tmp_path):
    first = {"validation": "max", "u": "min", "v": "max"}
    session(tmp_path / "run", method="nsga2", objectives=first).close()
    with raised(ConfigError, key="objectives"):
        session(tmp_path / "run", method="nsga2", objectives=dict(reversed(first.items())))
