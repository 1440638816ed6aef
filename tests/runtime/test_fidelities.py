"""A search over fidelities: what is counted, what is journalled, what goes on, what is said."""

import io
import json
import logging
import re
import shutil

import pytest
from rich.console import Console

import po_nas
from po_nas import Float, Int, spaces
from po_nas.compare.design import load_comparison
from po_nas.compare.run import run_comparison
from po_nas.compare.runs import read_runs
from po_nas.errors import ConfigError, JournalError, RunDirectoryError
from po_nas.reports.architectures import best_architectures, incumbent_changes
from po_nas.reports.live import RunFollower
from po_nas.reports.page import render_page
from po_nas.reports.run import load_run
from po_nas.reports.terminal import print_status
from po_nas.reports.watch import render_runs
from po_nas.runtime.executors import objective_tasks
from po_nas.testing import ToyObjective
from tests.errors import raised

from .helpers import trials

VALUES = [1, 3, 9]


def space():
    return po_nas.declare("fidelity_test", width=Int(1, 64), rate=Float(0.01, 1.0, log=True))


def train(config, *, fidelity, checkpoint):
    """Goes on from the epoch that the checkpoint has."""
    state = checkpoint / "epoch.json"
    begun = json.loads(state.read_text()) if state.exists() else 0
    state.write_text(json.dumps(fidelity))
    return {"validation": config["width"] * (1 - 0.5**fidelity), "begun": begun, "fidelity": fidelity}


def without_checkpoint(config, *, fidelity):
    return config["width"] * (1 - 0.5**fidelity)


def search(out, objective=train, method="asha", budget=12, **given):
    given = {"fidelities": VALUES, "seed": 1, **given}
    return po_nas.search(space=space(), objective=objective, method=method, budget=budget, out=out, **given)


def asks(out):
    return [e for e in trials(out) if e["event"] == "ask"]


def tells(out):
    return [e for e in trials(out) if e["event"] == "tell"]


@pytest.mark.parametrize("method", ["asha", "hyperband"])
def test_the_budget_is_in_full_evaluations(tmp_path, method):
    result = search(tmp_path / "run", method=method)
    asked, told = asks(tmp_path / "run"), tells(tmp_path / "run")
    reached, spent = {}, 0.0
    for ask, tell in zip(asked, told, strict=True):
        fidelity, before = ask.get("fidelity", 9), reached.get(ask["architecture"], 0)
        assert tell["metrics"]["begun"] == before < tell["metrics"]["fidelity"] == fidelity
        spent += (fidelity - before) / 9
        reached[ask["architecture"]] = fidelity
    full = [tell for ask, tell in zip(asked, told, strict=True) if "fidelity" not in ask]
    assert 11 < spent <= 12 + 1e-9
    assert result.full_evaluations == pytest.approx(spent)
    assert (result.evaluations, result.at_full_fidelity) == (len(told), len(full))
    assert result.validation == max(tell["metrics"]["validation"] for tell in full)
    assert {e["architecture"] for e in full} >= {result.incumbent}


def test_without_a_checkpoint_all_of_it_is_counted(tmp_path):
    result = search(tmp_path / "run", without_checkpoint)
    assert result.full_evaluations == pytest.approx(sum(a.get("fidelity", 9) / 9 for a in asks(tmp_path / "run")))
    unit = {"values": VALUES, "unit": "epochs", "costs": [0.2, 0.5, 1]}
    result = search(tmp_path / "costs", without_checkpoint, fidelities=unit)
    costs = {1: 0.2, 3: 0.5, None: 1}
    assert result.full_evaluations == pytest.approx(sum(costs[a.get("fidelity")] for a in asks(tmp_path / "costs")))


@pytest.mark.parametrize(("method", "executor", "batch"), [("hyperband", "simulated", 3), ("asha", "inline", 1)])
def test_cut_anywhere(tmp_path, method, executor, batch):
    given = {"method": method, "executor": executor, "batch": batch, "budget": 6}
    whole = search(tmp_path / "whole", without_checkpoint, **given)
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    # The end of a search, too, where what is left of the budget does not pay for what is wanted.
    for cut in (2, len(lines) // 2, *range(len(lines) - 6, len(lines))):
        out = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", out)
        (out / "summary.json").unlink()
        (out / "journal.jsonl").write_bytes(b"".join(lines[:cut]) + lines[cut][:5])
        resumed = po_nas.resume(out, objective=without_checkpoint)
        if executor == "inline":
            # Elsewhere the order in which parallel evaluations end hangs on the time that they take.
            assert [(a["architecture"], a.get("fidelity")) for a in asks(out)] == [
                (a["architecture"], a.get("fidelity")) for a in asks(tmp_path / "whole")
            ]
            assert resumed.full_evaluations == whole.full_evaluations
        assert resumed.full_evaluations <= 6 + 1e-9


def test_cut_anywhere_on_a_clock_of_recorded_seconds(tmp_path):
    toy = ToyObjective(spaces.get("transnas_micro"))
    given = {"benchmark": toy, "method": "hyperband", "budget": 8, "executor": "simulated", "batch": 3, "seed": 2}
    po_nas.search(out=tmp_path / "whole", **given)
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for cut in (*range(1, len(lines), 7), len(lines) - 1):
        out = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", out)
        (out / "summary.json").unlink()
        (out / "journal.jsonl").write_bytes(b"".join(lines[:cut]))
        po_nas.resume(out, objective=toy)
        assert trials(out) == trials(tmp_path / "whole")


def test_a_checkpoint_that_vanished(tmp_path, caplog):
    out = tmp_path / "run"
    vanished = []

    class Vanishing(po_nas.runtime.callbacks.Callback):
        def on_ask(self, asked):
            if asked[0].after is not None and not vanished:
                vanished.append(asked[0].number)
                shutil.rmtree(out / "artifacts" / "evaluations")

    with caplog.at_level(logging.WARNING):
        search(out, callbacks=[Vanishing()])
    (number,) = vanished
    begun = {e["number"]: e["metrics"] for e in tells(out)}
    assert begun[number]["begun"] == 0
    assert begun[number][objective_tasks.RESTARTED] == 1
    assert f"trial {number} was to go on from 1 of 9, but its checkpoint is gone" in caplog.text
    assert all(objective_tasks.RESTARTED not in m for n, m in begun.items() if n < number)


def test_ask_and_tell(tmp_path):
    given = {"space": space(), "method": "asha", "budget": 5, "out": tmp_path / "run", "fidelities": VALUES}
    seen = []
    with po_nas.Session(**given) as session:
        for trial in session:
            seen.append((trial.config["width"], trial.fidelity))
            session.tell(trial, float(trial.config["width"]), cost_s=trial.fidelity)
            if len(seen) == 6:
                break
    with po_nas.Session(**given) as session:
        for trial in session:
            seen.append((trial.config["width"], trial.fidelity))
            session.tell(trial, float(trial.config["width"]), cost_s=trial.fidelity)
        assert session.result.full_evaluations == pytest.approx(sum(f for _, f in seen) / 9)
    assert {f for _, f in seen} == set(VALUES)
    with pytest.raises(ConfigError, match="fidelities"):
        po_nas.Session(**{**given, "fidelities": [1, 9]})


def test_status_and_page(tmp_path, capsys):
    result = search(tmp_path / "run", fidelities={"values": VALUES, "unit": "epochs"})
    run = load_run(tmp_path / "run")
    assert run.spent()[-1] == pytest.approx(result.full_evaluations)
    assert run.incumbent().validation == result.validation
    print_status(run)
    told = capsys.readouterr().out
    assert f"{result.evaluations} evaluations that count as {result.full_evaluations:.4g}/12 full ones" in told
    assert f" at 1 of 9 epochs, {sum(t.fidelity == 3 for t in run.told)} at 3 of 9 epochs, " in told
    assert "<td>3 of 9 epochs</td>" in render_page(run)


def test_followed_runs_count_full_evaluations(tmp_path):
    result = search(tmp_path / "run")
    (followed,) = RunFollower([tmp_path / "run"]).look()
    state = followed.now()
    found = state.to_json()
    assert found["evaluations"] == result.evaluations
    assert found["full_evaluations"] == pytest.approx(result.full_evaluations)
    assert found["full_evaluations"] <= found["limit"] < found["evaluations"]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_runs([state], 80))
    assert f"{result.evaluations} (as {result.full_evaluations:.4g}/12 full) evaluations" in console.export_text()


def test_full_evaluations_alone_warm_start(tmp_path):
    result = search(tmp_path / "run")
    again = search(tmp_path / "again", method="random", budget=3, warm_start=tmp_path / "run")
    told = json.loads((tmp_path / "again" / "artifacts" / "warm_start.json").read_text())[0]["told"]
    assert len(told) == result.at_full_fidelity
    assert again.evaluations == 3


def test_what_is_refused_before_anything_is_spent(tmp_path):
    def refused(match, **given):
        with pytest.raises(ConfigError, match=match):
            search(tmp_path / "run", **given)
        assert not (tmp_path / "run").exists()

    refused("9 comes after 27|3 comes after 9; write them ascending", fidelities=[9, 3, 27])
    refused("takes no fidelity; add it", objective=lambda config: 1.0)
    refused("evaluates at lower fidelities, of which .* has none here", fidelities=[])
    refused("no architecture would come to a full evaluation", budget=1)
    with pytest.raises(ConfigError, match="evaluates at lower fidelities"):
        po_nas.search(benchmark="nasbench_graph/cora", method="hyperband", budget=9, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="benchmark declares its own"):
        po_nas.search(
            benchmark="nasbench201/cifar10", method="random", budget=9, out=tmp_path / "run", fidelities=VALUES
        )


def test_methods_of_full_evaluations_ask_for_all_of_it(tmp_path):
    result = search(tmp_path / "run", method="random", budget=3)
    assert [e["metrics"]["fidelity"] for e in tells(tmp_path / "run")] == [9, 9, 9]
    assert result.full_evaluations == result.evaluations == result.at_full_fidelity == 3


def test_a_journal_of_other_fidelities(tmp_path):
    out = tmp_path / "run"
    search(out, without_checkpoint, budget=3)
    (out / "summary.json").unlink()
    config = out / "config.yaml"
    config.write_text(config.read_text().replace("- 3\n", "- 4\n"))
    with pytest.raises(JournalError, match="is none of 1, 4, 9"):
        po_nas.resume(out, objective=without_checkpoint)
    with pytest.raises(RunDirectoryError, match="lacks fidelities of its journal"):
        load_run(out)


def test_comparisons_count_full_evaluations(tmp_path):
    result = search(tmp_path / "run", budget=3)
    study = read_runs([tmp_path / "run"])
    assert (study.budget, len(next(iter(study.searches.values())))) == (3, result.evaluations)
    study = tmp_path / "study.yaml"
    study.write_text("benchmarks: [nasbench_graph/cora]\nmethods: [random, asha]\nseeds: 1\nbudget: 20\n")
    with raised(ConfigError, "asha", key="method", value="asha"):
        run_comparison(load_comparison(study), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_test_values_are_of_the_evaluations_that_have_them(tmp_path):
    """Numbers count evaluations of all fidelities; test values and what is drawn as best are of full ones."""

    def tested(config, *, fidelity, checkpoint):
        told = train(config, fidelity=fidelity, checkpoint=checkpoint)
        return told | {"test": 1000.0 * config["width"] + fidelity}

    result = search(tmp_path / "run", tested)
    run = load_run(tmp_path / "run")
    full = {t.evaluation: t for t in run.told if t.fidelity is None}
    values = json.loads((tmp_path / "run/artifacts/report_values.json").read_text())
    assert full
    assert {int(number) for number in values} == set(full) < {t.evaluation for t in run.told}
    for number, trial in full.items():
        assert values[str(number)] == trial.test == 1000.0 * json.loads(trial.architecture)["width"] + 9
    assert result.test == run.incumbent().test
    for _, gain, _ in incumbent_changes(run):
        assert gain is None or gain > 0
    best = best_architectures(run)
    shown = [int(number) for number in re.findall(r"evaluation (\d+)", best)]
    assert shown
    assert set(shown) <= set(full)
