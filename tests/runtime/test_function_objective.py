"""Searches for the best of a function."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from functools import partial

import numpy as np
import pytest
import torch

import po_nas
from po_nas import spaces
from po_nas.core.objective import Metric, Outcome
from po_nas.errors import ConfigError
from po_nas.reports.run import load_run
from po_nas.reports.terminal import print_status
from po_nas.runtime.function_objective import FunctionObjective, Report, outcome_of_value
from po_nas.runtime.trial_errors import EvaluationsFailError, ObjectiveValueError
from tests.errors import raised

from .helpers import trials
from .own import PLUGIN, train, where

SPACE = spaces.get("nasbench201")


def search(out, function, **changes):
    settings = {"space": SPACE, "objective": function, "method": "random", "budget": 3}
    return po_nas.search(**settings | changes, out=out)


def events(out, kind):
    found = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    return [event for event in found if event["event"] == kind]


def test_a_function_is_called_with_configurations(tmp_path):
    seen = []

    def function(config):
        seen.append(dict(config))
        config.clear()  # it is the function's own
        return len(seen)

    found = search(tmp_path / "run", function)
    assert (found.evaluations, found.validation) == (3, 3.0)
    architectures = [event["architecture"] for event in events(tmp_path / "run", "ask")]
    assert seen == [SPACE.config_of(SPACE.from_string(text)) for text in architectures]
    assert found.benchmark == "nasbench201/function"


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda config: 1.0, ()),
        (lambda config, seed: seed, ("seed",)),
        (lambda config, *, report, seed=3: seed, ("seed", "report")),
        (lambda config, **rest: len(rest), ("seed", "fidelity", "checkpoint", "report")),
        (lambda *everything: len(everything), ()),
        (lambda config, epochs=3: epochs, ()),
        (partial(lambda width, config, seed: width, 4), ("seed",)),
    ],
)
def test_it_is_passed_what_it_takes(function, names):
    objective = FunctionObjective(SPACE, function)
    assert objective._taken == names
    assert objective.evaluate(next(SPACE.enumerate()), seed=5).failure is None


def test_a_function_with_some_arguments_set_is_called_like_the_function():
    def train(config, epochs):
        return epochs

    assert FunctionObjective(SPACE, partial(partial(train), epochs=3)).name == f"{SPACE.name}/train"


@pytest.mark.parametrize(
    "function", [lambda: 1, lambda *, config: 1, lambda config, width: 1, lambda config, seed, /: 1, lambda **rest: 1]
)
def test_what_it_asks_for_in_vain_is_said_before_anything_is_spent(tmp_path, function):
    with raised(ConfigError, key="objective"):
        search(tmp_path / "run", function)
    assert not (tmp_path / "run").exists()


def test_arguments_that_do_not_go_together(tmp_path):
    for wrong, key in (
        ({"benchmark": "nasbench201/cifar10"}, "benchmark"),
        ({"objective": None}, "benchmark"),
        ({"space": None}, "objective"),
        ({"objective": 3}, "objective"),
        ({"objective": None, "benchmark": "nasbench201/cifar10"}, "space"),
        ({"objective": None, "space": None, "benchmark": "nasbench201/cifar10", "example_inputs": 1}, "example_inputs"),
    ):
        with raised(ConfigError, key=key):
            search(tmp_path / "run", train, **wrong)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("value", "came"),
    [
        (None, "None"),
        ("0.9", "a str, '0.9'"),
        ((0.9, 3), "a tuple of 2"),
        (torch.ones(3), "a Tensor of shape (3,)"),
        (np.ones((1, 1)), "a ndarray of shape (1, 1)"),
        (True, "a bool, True"),
        ({"accuracy": 1.0}, "a dict of accuracy"),
        ({"validation": "x"}, "a str, 'x' as 'validation'"),
    ],
)
def test_what_is_no_number_is_a_failed_trial_that_says_what_came(tmp_path, value, came):
    with pytest.raises(EvaluationsFailError):
        search(tmp_path / "run", lambda config: value)
    assert len(events(tmp_path / "run", "fail")) == 3
    for event in events(tmp_path / "run", "fail"):
        assert event["reason"].startswith(ObjectiveValueError.__name__)
        assert came in event["reason"]
        assert "\n" not in event["reason"]


def test_an_exception_is_a_failed_trial_with_configuration_and_traceback(tmp_path):
    def function(config):
        if config["edge 0→1"] == "none":
            raise RuntimeError("CUDA out of memory")
        return 1.0

    found = search(tmp_path / "run", function, budget=12)
    assert found.evaluations == 12
    assert 0 < found.failed < 12
    for event in events(tmp_path / "run", "fail"):
        assert event["config"] == SPACE.config_of(SPACE.from_string(event["architecture"]))
        assert event["traceback"].rstrip().endswith("RuntimeError: CUDA out of memory")
        assert "in function" in event["traceback"]


def test_a_dict_names_what_is_optimised(tmp_path):
    found = search(
        tmp_path / "run",
        lambda config: {"loss": len(set(config.values())), "size": 3},
        metric="loss",
        maximize=False,
        budget=8,
    )
    told = [event["metrics"] for event in events(tmp_path / "run", "tell")]
    assert found.validation == min(metrics["validation"] for metrics in told)
    assert {metrics["size"] for metrics in told} == {3.0}
    assert found.cost_s > 0


def test_an_outcome_goes_as_it_is():
    outcome = Outcome.ok(3.0, 17.0, a=1.0)
    assert FunctionObjective(SPACE, lambda config: outcome).evaluate(next(SPACE.enumerate()), seed=0) == outcome


def test_a_curve_is_in_the_journal_and_on_disk_at_once(tmp_path):
    lines = []

    def function(config, report):
        for epoch in range(3):
            report(torch.tensor(0.1 * epoch))
            (curve,) = (tmp_path / "run" / "artifacts").rglob("curve.jsonl")
            lines.append(len(curve.read_text().splitlines()))
        report(0.9, epoch=7)
        with pytest.raises(ObjectiveValueError):
            report("bad")
        return 1.0

    search(tmp_path / "run", function, budget=1)
    (told,) = events(tmp_path / "run", "tell")
    expected = {"validation_epoch_1": 0.0, "validation_epoch_2": 0.1, "validation_epoch_3": 0.2}
    assert told["metrics"] == pytest.approx({"validation": 1.0, **expected, "validation_epoch_7": 0.9}, abs=1e-6)
    assert lines == [1, 2, 3]


def test_with_a_checkpoint_the_epoch_must_be_said(tmp_path):
    """Killed after three epochs, a training goes on in the fourth: counted anew it would be the first."""

    def train(config, report, checkpoint):
        done = int((checkpoint / "epoch").read_text()) if (checkpoint / "epoch").exists() else 0
        for epoch in range(done + 1, 6):
            with pytest.raises(ObjectiveValueError):
                report(float(epoch))
            report(float(epoch), epoch=epoch)
            (checkpoint / "epoch").write_text(str(epoch))
            if epoch == 3 and done == 0:
                raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", train, budget=1)
    po_nas.resume(tmp_path / "run", objective=train, space=SPACE)
    (told,) = events(tmp_path / "run", "tell")
    assert [told["metrics"][f"validation_epoch_{epoch}"] for epoch in range(1, 6)] == [1, 2, 3, 4, 5]


def test_a_curve_goes_on_where_it_was(tmp_path):
    path = tmp_path / "curve.jsonl"
    first = Report("f", path)
    first(0.1)
    first(0.2)
    with path.open("a") as file:
        file.write('{"epoch": 3, "val')
    second = Report("f", path)
    assert second.values == {1: 0.1, 2: 0.2}
    second(0.25, epoch=2)
    assert second.values == {1: 0.1, 2: 0.25}


def test_a_killed_trial_finds_its_checkpoint(tmp_path):
    stop = [True]

    def function(config, checkpoint, seed):
        there = checkpoint / "state"
        if not there.exists():
            there.write_text(str(seed))
            if stop:
                raise KeyboardInterrupt
        assert there.read_text() == str(seed)
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", function)
    stop.clear()
    found = po_nas.resume(tmp_path / "run", objective=function)
    assert (found.evaluations, found.failed) == (3, 0)


def test_a_run_of_a_function_is_resumed_with_it(tmp_path):
    whole = search(tmp_path / "whole", train, method="gp_bo", budget=12, metric="x", maximize=False)
    calls = []

    def killed(config):
        calls.append(config)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return train(config)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", killed, method="gp_bo", budget=12, metric="x", maximize=False)
    found = po_nas.resume(tmp_path / "run", objective=train)
    assert found.incumbent == whole.incumbent

    def told(out):
        return [{k: v for k, v in e.items() if k not in {"cost_s", "clock_s"}} for e in trials(out)]

    assert told(tmp_path / "run") == told(tmp_path / "whole")
    with raised(ConfigError, key="objective", value="nasbench201/train"):
        po_nas.resume(tmp_path / "whole")
    with raised(ConfigError, key="space", value="darts"):
        po_nas.resume(tmp_path / "run", objective=train, space="darts")


def test_proxies_of_networks_of_ones_own_inputs(tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    method = {"name": "zero_cost", "fusion": "single", "proxy": "params", "pool": 4}
    inputs = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = search(tmp_path / "run", train, method=method, proxies=["params"], example_inputs=inputs)
    assert (found.evaluations, found.scores_computed) == (3, 4)


# -- on their way to workers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [lambda config: 1.0, partial(lambda config: 1.0)])
def test_what_cannot_reach_a_worker_says_so_before_anything_is_spent(tmp_path, function):
    with pytest.raises(ConfigError) as caught:
        search(tmp_path / "run", function, executor="process")
    assert caught.value.key in {"objective", "executor"}
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_notebook_says_so(tmp_path, monkeypatch):
    import __main__

    monkeypatch.delattr(__main__, "__file__", raising=False)

    def function(config):
        return 1.0

    function.__module__, function.__qualname__ = "__main__", "function"
    with raised(ConfigError, "notebook", key="objective"):
        search(tmp_path / "run", function, executor="process")


def test_a_copy_is_the_same(tmp_path):
    objective = FunctionObjective(SPACE, where, metric=Metric("validation", "", False), folder=tmp_path / "there")
    copy = pickle.loads(pickle.dumps(objective))
    one = SPACE.from_string("|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    first, second = (o.evaluate(one, seed=3) for o in (objective, copy))
    assert first.metrics == second.metrics
    assert (copy.name, copy.metric) == (objective.name, objective.metric)


@pytest.mark.parametrize("source", ["module", "file"])
def test_worker_processes_call_it(tmp_path, source):
    function = where
    if source == "file":
        from po_nas.registry import load_plugin

        shutil.copy(PLUGIN, tmp_path / "own_of_a_user.py")
        function = load_plugin(str(tmp_path / "own_of_a_user.py")).where
    found = search(tmp_path / "run", function, executor={"name": "process", "workers": 1}, budget=6, seed=1)
    assert found.evaluations == 6
    told, failed = events(tmp_path / "run", "tell"), events(tmp_path / "run", "fail")
    assert told
    for event in told:
        assert event["metrics"]["process"] != os.getpid()
        assert event["metrics"]["validation_epoch_4"] == 0.25
    for event in failed:
        assert "no way" in event["traceback"]
    assert len(list((tmp_path / "run/artifacts/evaluations").glob("*/checkpoint/process"))) == 6


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["ray", "submitit"])
def test_other_executors_call_it_too(tmp_path, executor):
    pytest.importorskip(executor)
    from po_nas.registry import load_plugin

    shutil.copy(PLUGIN, tmp_path / "own_elsewhere.py")
    function = load_plugin(str(tmp_path / "own_elsewhere.py")).where
    options = {"cluster": "local"} if executor == "submitit" else {}
    for number, one in enumerate((function, lambda config: 1.0)):
        settings = {"name": executor, "workers": 1, **options}
        found = search(tmp_path / f"run{number}", one, executor=settings, budget=2)
        assert found.evaluations == 2
        assert "PluginError" not in (tmp_path / f"run{number}/journal.jsonl").read_text()


def test_a_search_that_only_fails_stops_at_once_and_status_says_why(tmp_path, capsys):
    def function(config):
        raise KeyError("lr")

    with raised(EvaluationsFailError, "KeyError", count=3):
        search(tmp_path / "run", function, budget=4)
    run = load_run(tmp_path / "run")
    ((reason, evaluations),) = run.failures().items()
    assert (evaluations, "KeyError" in reason) == ([1, 2, 3], True)
    print_status(run)
    said = capsys.readouterr().out
    assert reason in said
    assert "evaluations 1, 2, 3" in said
    assert str(run.traceback(evaluations)) in said
    assert "KeyError" in run.traceback([2]).read_text()
    assert run.traceback([4]) is None


def test_status_of_a_function_names_the_way_on_that_works(tmp_path, capsys):
    search(tmp_path / "run", lambda config: 1.0)
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    print_status(load_run(tmp_path / "run"))
    said = capsys.readouterr().out
    assert "po_nas.resume(" in said
    assert "po-nas resume" not in said


def test_one_directory_to_start_from_needs_no_list(tmp_path):
    search(tmp_path / "first", train)
    for number, given in enumerate((tmp_path / "first", str(tmp_path / "first"), [tmp_path / "first"])):
        search(tmp_path / str(number), train, warm_start=given, budget=1)
    assert len({trials(tmp_path / str(number))[0]["architecture"] for number in range(3)}) == 1


def test_constraints_as_text_are_refused(tmp_path):
    with raised(ConfigError, key="constraints"):
        search(tmp_path / "run", train, constraints="params <= 5")


def test_a_number_that_no_float_holds_is_no_value():
    with raised(ObjectiveValueError):
        outcome_of_value(10**400, Metric("validation"), "f")


@pytest.mark.parametrize("limit", [None, 60.0])
@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_process_ends_the_search_and_is_no_timeout(tmp_path, limit, error):
    def interrupted(config):
        raise error

    executor = "inline" if limit is None else {"name": "inline", "timeout_s": limit}
    with pytest.raises(error):
        search(tmp_path / "run", interrupted, executor=executor)
    assert not events(tmp_path / "run", "fail")
