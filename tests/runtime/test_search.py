"""Whole searches: budget, files, failures, executors."""

from __future__ import annotations

import json
import math
import os
import socket
import time

import numpy as np
import pytest
import yaml

import po_nas
from po_nas import benchmarks, methods, spaces
from po_nas.core.searcher import Proposal, Searcher
from po_nas.errors import (
    BudgetError,
    ConfigError,
    PoNasError,
    RunDirectoryError,
    RunLockedError,
    SearchExhaustedError,
    UnknownNameError,
)
from po_nas.registry import Entry
from po_nas.reports.run import load_run
from po_nas.runtime import loop
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.config import load_config
from po_nas.runtime.run_directory import RunDirectory
from po_nas.runtime.trial_errors import EvaluationsFailError
from po_nas.testing import ToyObjective
from tests.errors import raised

from .helpers import Misbehaving, trials

FIXED_SUMMARY = {
    "benchmark", "method", "seed", "feedback", "evaluations", "incumbent", "validation", "test",
    "optimum_validation", "optimum_test", "regret_validation", "wall_s", "overhead_s",
}  # fmt: skip


def run(tmp_path, **changes):
    settings = {
        "benchmark": "nasbench201/cifar10",
        "method": "random",
        "budget": 12,
        "seed": 1,
        "out": tmp_path / "run",
    }
    return po_nas.search(**settings | changes)


def test_summary_and_journal_have_the_documented_fields(tmp_path):
    result = run(tmp_path)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert set(summary) >= FIXED_SUMMARY
    assert summary == result.to_dict()
    assert summary["evaluations"] == 12
    assert summary["test"] is None, "without the public data there is no test accuracy"
    task = benchmarks.get("nasbench201/cifar10")
    assert summary["optimum_validation"] == pytest.approx(91.6067, abs=1e-4)
    incumbent = task.space.from_string(summary["incumbent"])
    assert summary["validation"] == task.evaluate(incumbent).validation
    assert summary["regret_validation"] == pytest.approx(summary["optimum_validation"] - summary["validation"])
    assert 0 <= summary["overhead_s"] <= summary["wall_s"]
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["start", *["ask", "tell"] * 12, "end"]
    for told in (e for e in events if e["event"] == "tell"):
        architecture = task.space.from_string(told["architecture"])
        assert told["metrics"]["validation"] == task.evaluate(architecture).validation
    assert summary["validation"] == max(e["metrics"]["validation"] for e in events if e["event"] == "tell")


def test_config_is_resolved_and_versioned(tmp_path):
    run(tmp_path)
    record = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert record["search"]["executor"] == {"name": "inline", "timeout_s": None}
    assert record["protocol"]["feedback_name"] == "full"
    assert record["protocol"]["pool_size"] == 15_625
    assert {"python", "torch", "botorch", "po-nas"} <= set(record["versions"])


def test_same_seed_same_trials(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path, out=tmp_path / name, seed=seed, method="regularized_evolution")
    assert trials(tmp_path / "a") == trials(tmp_path / "b") != trials(tmp_path / "c")


def test_a_directory_holds_one_run(tmp_path):
    run(tmp_path)
    with pytest.raises(RunDirectoryError, match="po-nas resume"):
        run(tmp_path)


def test_resuming_a_finished_run_returns_it(tmp_path):
    result = run(tmp_path)
    before = (tmp_path / "run/journal.jsonl").read_bytes()
    assert po_nas.resume(tmp_path / "run") == result
    assert (tmp_path / "run/journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("budget", [0, -3, 15_626, {"max_cost_s": 0}, {"max_evaluations": None}, {}, "many", 2.5])
def test_impossible_budgets(tmp_path, budget):
    with pytest.raises(BudgetError) as caught:
        run(tmp_path, budget=budget)
    assert caught.value.key.split(".")[0] == "budget"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "error", "data"),
    [
        (
            {"benchmark": "nasbench201/cifar11"},
            UnknownNameError,
            {"name": "nasbench201/cifar11", "suggestion": "nasbench201/cifar10"},
        ),
        ({"method": "gp_b"}, UnknownNameError, {"name": "gp_b", "suggestion": "gp_bo"}),
        ({"executor": "inlin"}, UnknownNameError, {"name": "inlin", "suggestion": "inline"}),
        ({"feedback": "ful"}, UnknownNameError, {"name": "ful", "suggestion": "full"}),
        ({"method": {"name": "gp_bo", "inital": 3}}, ConfigError, {"key": "method.inital", "value": 3}),
        ({"seed": -1}, ConfigError, {"key": "seed", "value": -1}),
        ({"batch": 0}, ConfigError, {"key": "batch", "value": 0}),
    ],
)
def test_bad_settings_cost_nothing(tmp_path, changes, error, data):
    with raised(error, **data):
        run(tmp_path, **changes)
    assert not (tmp_path / "run").exists()


def test_cost_budget(tmp_path):
    result = run(tmp_path, budget={"max_cost_s": 20_000})
    costs = [e["cost_s"] for e in trials(tmp_path / "run") if e["event"] == "tell"]
    assert sum(costs) >= 20_000 > sum(costs[:-1])
    assert result.cost_s == pytest.approx(sum(costs))
    assert "20000 s" in result.ended


def test_wall_clock_budget(tmp_path):
    started = time.monotonic()
    result = run(tmp_path, budget={"max_wallclock_s": 0.3})
    assert time.monotonic() - started < 20
    assert result.evaluations > 3
    assert "wall-clock" in result.ended


def test_the_whole_space_can_be_evaluated(tmp_path):
    """A budget of everything finds the optimum, and ends."""
    result = run(tmp_path, benchmark="nasbench_graph/proteins", method="random", budget=2_021)
    assert result.regret_validation == 0
    assert len({e["architecture"] for e in trials(tmp_path / "run") if e["event"] == "ask"}) == 2_021


@pytest.mark.parametrize(
    ("behaviour", "named"),
    [
        ("raise", ["RuntimeError: ", "CUDA"]),
        ("nan", ["validation = nan"]),
        ("raw nan", ["validation = nan"]),
        ("none", ["NoneType", "Outcome"]),
        ("nan cost", ["cost_s = nan"]),
        ("negative cost", ["cost_s = -5"]),
        ("exit", ["SystemExit: 3"]),
        ("odd text", [r"bad \udcff"]),
        ("no text", ["Unprintable"]),
        ("failed with nonsense", ["x"]),
        ("hang", ["timeout: ", "0.05 s"]),
    ],
)
def test_failures_are_trials(tmp_path, behaviour, named):
    executor = {"name": "inline", "timeout_s": 0.05 if behaviour == "hang" else None}
    result = po_nas.search(
        benchmark=Misbehaving(behaviour), method="random", budget=20, out=tmp_path / "run", executor=executor
    )
    failed = [e for e in trials(tmp_path / "run") if e["event"] == "fail"]
    assert result.evaluations == 20
    assert result.failed == len(failed) > 0
    assert all(name in e["reason"] for e in failed for name in named)
    assert result.validation is not None
    assert math.isfinite(result.validation)
    if behaviour == "raise":
        kept = tmp_path / f"run/artifacts/evaluation-{failed[0]['number'] + 1:06d}/error.txt"
        assert "CUDA" in kept.read_text()


def test_an_evaluation_that_exits_under_a_timeout_is_no_timeout(tmp_path):
    executor = {"name": "inline", "timeout_s": 30}
    po_nas.search(benchmark=Misbehaving("exit"), method="random", budget=20, out=tmp_path / "run", executor=executor)
    failed = [e for e in trials(tmp_path / "run") if e["event"] == "fail"]
    assert failed
    assert all("SystemExit" in e["reason"] for e in failed)


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, 0, -1, float("nan")])
def test_impossible_timeouts(tmp_path, timeout):
    with pytest.raises(ConfigError, match=r"executor\.timeout_s"):
        run(tmp_path, executor={"name": "inline", "timeout_s": timeout})


def test_numpy_numbers_of_an_objective_are_numbers(tmp_path):
    class Numpy(ToyObjective):
        distinct = np.int64(4096)
        optimum_validation = (np.float64(9.0), None)

        def report(self, architecture):
            return {"test": np.float32(1.5)}

        def protocol(self):
            return super().protocol() | {"epochs": np.int64(3), "split": ("a", np.float32(0.5))}

    result = po_nas.search(
        benchmark=Numpy(spaces.get("transnas_micro")), method="random", budget=3, out=tmp_path / "run"
    )
    assert json.loads((tmp_path / "run/summary.json").read_text())["test"] == result.test == 1.5
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["protocol"]["split"] == ["a", 0.5]


def test_direction_is_on_record_whatever_the_protocol_says(tmp_path):
    """Status, report and export read the run directory alone; they must agree with the summary."""

    class Loss(ToyObjective):
        def protocol(self):
            return {"dataset": "mine"}

    toy = Loss(spaces.get("transnas_micro"), maximize=False)
    result = po_nas.search(benchmark=toy, method="random", budget=15, out=tmp_path / "run")
    run_data = load_run(tmp_path / "run")
    assert run_data.maximize is False
    assert run_data.winner()["string"] == result.incumbent
    assert run_data.incumbents()[-1] == result.validation


@pytest.mark.parametrize("benchmark", ["nasbench_graph/cora", "nasbench_graph/proteins"])
def test_a_cost_budget_needs_costs(tmp_path, benchmark):
    with raised(BudgetError, "budget.max_evaluations", key="budget.max_cost_s", value=10):
        run(tmp_path, benchmark=benchmark, budget={"max_cost_s": 10})
    assert not (tmp_path / "run").exists()


def test_the_record_of_a_run_is_a_configuration(tmp_path):
    run(tmp_path, method="regularized_evolution")
    config = load_config(tmp_path / "run/config.yaml", ["seed=5"])
    assert (config.method.name, config.seed, config.budget.max_evaluations) == ("regularized_evolution", 5, 12)


def test_a_report_that_fails_does_not_take_the_search_away(tmp_path, caplog):
    class Broken(ToyObjective):
        def report(self, architecture):
            raise OSError("the test set is on another machine")

    toy = Broken(spaces.get("transnas_micro"))
    result = po_nas.search(benchmark=toy, method="random", budget=3, out=tmp_path / "run")
    assert (result.evaluations, result.test) == (3, None)
    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {OSError}


@pytest.mark.parametrize("again", [True, False])
def test_a_method_that_repeats_itself_or_has_nothing_is_told_so(tmp_path, again):
    class Bad(Searcher):
        def propose(self, rng):
            if not again:
                raise SearchExhaustedError("nothing at all")
            return Proposal(self.domain.space.at(5), "random")

    methods.registry.add(Entry("bad", "", Bad, origin="test"))
    try:
        if again:
            with raised(PoNasError, "Bad", spaces.get("nasbench201").to_string(spaces.get("nasbench201").at(5))):
                run(tmp_path, method="bad")
        else:
            assert run(tmp_path, method="bad").evaluations == 0
    finally:
        methods.registry.remove("bad")


class Failing(ToyObjective):
    """Fails at once, or not, in the words of `reason` of a number."""

    def __init__(self, reason=None):
        super().__init__(spaces.get("transnas_micro"))
        self.reason, self.calls = reason, 0

    def evaluate(self, architecture, *, seed, fidelity=None):
        self.calls += 1
        if self.reason is not None and (words := self.reason(self.calls)) is not None:
            raise RuntimeError(words)
        return super().evaluate(architecture, seed=seed, fidelity=fidelity)


@pytest.mark.parametrize(("batch", "count"), [(1, 3), (4, 4)])
def test_a_search_that_begins_with_failures_alike_stops_and_goes_on(tmp_path, batch, count, reports_written):
    toy = Failing(lambda call: f"shape ({call}, 8) does not fit")
    search = {"method": "gp_bo", "budget": 14, "out": tmp_path / "run", "batch": batch}
    with raised(EvaluationsFailError, count=count) as caught:
        po_nas.search(benchmark=toy, **search)
    assert f"({count}, 8)" in caught.value.reason
    assert caught.value.directory == tmp_path / "run"
    assert f"({count}, 8)" in (tmp_path / "run" / "report" / "index.html").read_text()
    assert [e["event"] for e in trials(tmp_path / "run")].count("fail") == toy.calls == count
    # Still the same: as many trials again as run at once, and it stops again.
    with raised(EvaluationsFailError, count=count + batch):
        po_nas.resume(tmp_path / "run", objective=toy)
    result = po_nas.resume(tmp_path / "run", objective=Failing())
    assert (result.evaluations, result.failed) == (14, count + batch)
    assert result.validation is not None


def test_a_search_that_was_killed_while_it_waited_stops_as_one_that_was_not(tmp_path):
    toy = Failing(lambda call: "no")
    with raised(EvaluationsFailError, count=4):
        po_nas.search(benchmark=toy, method="random", budget=14, out=tmp_path / "run", batch=4)
    journal = tmp_path / "run" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert '"fail"' in lines[-1]
    journal.write_text("".join(lines[:-1]))
    with raised(EvaluationsFailError, count=4):
        po_nas.resume(tmp_path / "run", objective=toy)


def test_failures_of_several_kinds_or_after_a_success_do_not_stop_a_search(tmp_path):
    kinds = Failing(["one", "two", "three"].__getitem__).reason
    result = po_nas.search(benchmark=Failing(lambda n: kinds(n % 3)), method="gp_bo", budget=14, out=tmp_path / "kinds")
    assert (result.evaluations, result.failed, result.incumbent, result.validation) == (14, 14, None, None)
    result = po_nas.search(
        benchmark=Failing(lambda n: None if n == 2 else "no"), method="random", budget=9, out=tmp_path / "one"
    )
    assert (result.evaluations, result.failed) == (9, 8)


def test_minimised_metric(tmp_path):
    toy = ToyObjective(spaces.get("transnas_micro"), maximize=False)
    result = po_nas.search(benchmark=toy, method="regularized_evolution", budget=30, out=tmp_path / "run")
    told = [e["metrics"]["validation"] for e in trials(tmp_path / "run") if e["event"] == "tell"]
    assert result.validation == min(told)


def test_batches_are_evaluated_together(tmp_path):
    run(tmp_path, batch=5, method="regularized_evolution")
    events = [e["event"] for e in trials(tmp_path / "run")]
    assert events == ["ask"] * 5 + ["tell"] * 5 + ["ask"] * 5 + ["tell"] * 5 + ["ask"] * 2 + ["tell"] * 2


def test_simulated_workers_overlap(tmp_path):
    """Four workers finish in about a quarter of the virtual time, out of order."""
    alone = run(tmp_path, out=tmp_path / "one", executor="simulated", budget=40)
    assert alone.clock_s == pytest.approx(alone.cost_s)
    result = run(tmp_path, executor="simulated", batch=4, budget=40)
    assert result.cost_s / 4 <= result.clock_s < result.cost_s / 3
    events = trials(tmp_path / "run")
    told = [e["number"] for e in events if e["event"] == "tell"]
    assert told != sorted(told)
    running = np.cumsum([1 if e["event"] == "ask" else -1 for e in events])
    assert running.max() == 4


def test_two_processes_on_one_directory(tmp_path):
    run(tmp_path)
    with RunDirectory(tmp_path / "run"), raised(RunLockedError, path=tmp_path / "run") as caught:
        po_nas.resume(tmp_path / "run")
    assert {str(os.getpid()), socket.gethostname()} < set(caught.value.holder.split())
    po_nas.resume(tmp_path / "run")


def test_a_broken_callback_does_not_stop_the_search(tmp_path, caplog):
    class Broken(Callback):
        def on_tell(self, trial, outcome, progress):
            raise ValueError("no disk, no network, no luck")

    assert run(tmp_path, callbacks=[Broken()]).evaluations == 12
    assert [record.args for record in caplog.records] == [("Broken", "on_tell")] * 12


@pytest.mark.parametrize(("progress", "terminal"), [(True, False), (False, True), (None, True), (None, False)])
def test_progress_is_shown_where_it_is_wanted(tmp_path, capsys, monkeypatch, progress, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    shown = terminal if progress is None else progress
    out = tmp_path / "run"
    po_nas.search(
        benchmark=ToyObjective(spaces.get("transnas_micro")), method="random", budget=6, out=out, progress=progress
    )
    assert ("6/6 evaluations" in capsys.readouterr().err) == shown
    journal = out / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-3]))
    (out / "summary.json").unlink()
    po_nas.resume(out, objective=ToyObjective(spaces.get("transnas_micro")), progress=progress)
    printed = capsys.readouterr()
    assert ("6/6 evaluations" in printed.err) == shown
    assert printed.out == ""


def test_progress_is_complete(tmp_path):
    seen = []

    class Watch(Callback):
        def on_tell(self, trial, outcome, progress):
            seen.append(progress)

    result = run(tmp_path, callbacks=[Watch()])
    assert [p.evaluations for p in seen] == list(range(1, 13))
    assert seen[-1].incumbent == result.incumbent
    regrets = [p.regret_validation for p in seen]
    assert regrets == sorted(regrets, reverse=True)
    assert seen[5].eta_s > 0


@pytest.mark.parametrize("wrong", [{"method": {"name": "random", "x": 1}}, {"executor": {"name": "process", "x": 1}}])
def test_options_are_checked_before_the_benchmark_is_loaded(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr("po_nas.benchmarks.objective_of", lambda *arguments: pytest.fail("it was loaded"))
    settings = {"benchmark": "nasbench_graph/proteins", "method": "random", "budget": 2, **wrong}
    with pytest.raises(ConfigError) as caught:
        po_nas.search(**settings, out=tmp_path / "run")
    assert caught.value.key in {"method.x", "executor.x"}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("evaluation_s", "known"), [(0.0, False), (5.0, True)])
def test_no_time_is_said_to_be_left_before_a_model_has_proposed(tmp_path, monkeypatch, evaluation_s, known):
    """The trials of an initial design come at once; what comes after them takes longer."""
    clock = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])

    class Slow(Searcher):
        def propose(self, rng):
            design = self.asked < 4
            clock[0] += 0.0 if design else 3.0
            return Proposal(self.draw_unseen(rng), "initial" if design else "acquisition")

    class Timed(ToyObjective):
        def evaluate(self, architecture, *, seed, fidelity=None):
            clock[0] += evaluation_s
            return super().evaluate(architecture, seed=seed, fidelity=fidelity)

    left = []

    class Left(Callback):
        def on_tell(self, trial, outcome, progress):
            left.append(progress.eta_s)

    objective = Timed(spaces.get("transnas_micro"))
    po_nas.search(benchmark=objective, method=Slow, budget=10, out=tmp_path / "run", callbacks=[Left()])
    assert left[:4] == [pytest.approx(evaluation_s * n) if known else None for n in (9, 8, 7, 6)]
    assert left[4:] == pytest.approx([(3.0 + evaluation_s) * n for n in (5, 4, 3, 2, 1, 0)])


def test_an_interrupt_says_how_to_go_on(tmp_path):
    class Interrupted(ToyObjective):
        def evaluate(self, architecture, *, seed, fidelity=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        po_nas.search(
            benchmark=Interrupted(spaces.get("transnas_micro")), method="random", budget=3, out=tmp_path / "run"
        )
    assert f"po_nas.resume({str(tmp_path / 'run')!r}, objective=…)" in "".join(caught.value.__notes__)
