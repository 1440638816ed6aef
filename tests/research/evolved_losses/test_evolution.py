"""Evolutions from the first graph to the report, on a few digits."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import losses.classification as classification
from po_nas.commands.app import app
from po_nas.errors import ConfigError, ExecutorError, RunDirectoryError, UnknownNameError
from po_nas.research.evolved_losses import training
from po_nas.research.evolved_losses.config import REGIMES, Setting, augmentation, load_evolve_loss, presets
from po_nas.research.evolved_losses.final import choose_rates, final_jobs
from po_nas.research.evolved_losses.networks import build
from po_nas.research.evolved_losses.run import evolve_loss
from po_nas.research.evolved_losses.training import Job, train
from po_nas.research.evolved_losses.training_task import job_of, task_of
from po_nas.research.evolved_losses.trainings import Trainings
from po_nas.runtime.config import ExecutorConfig
from po_nas.runtime.executors import Task
from po_nas.runtime.executors.messages import text_of
from po_nas.training.data import image_set
from po_nas.training.recipe import chosen_loss
from tests.errors import raised

TINY = "{epochs: 1, channels: 8, layers: 2, batch: 64}"
SMALL = [
    *("initial=4", "population=3", "tournament=2", "children=3", "brood=2", "samples=200", "ladder=1"),
    *(f"screen={{keep: 3, settings: [{TINY}]}}", f"fitness={{keep: 2, settings: [{TINY}]}}"),
    f"elimination=[{{keep: 1, settings: [{TINY}]}}]",
    f"final={{seeds: 2, settings: [{TINY[:-1]}, rates: [1, 3]}}]}}",
]


def names(result):
    return [(m["formula"], m["fitness"]) for m in result["members"]]


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evolved")
    done = CliRunner().invoke(
        app, ["evolve", "loss", *SMALL, "--seed", "5", "--out", str(folder)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_presets_are_the_published_sizes():
    assert presets() == ["laptop", "paper"]
    laptop, paper = (load_evolve_loss(None, preset=name) for name in presets())
    assert (laptop.population, laptop.tournament, laptop.children) == (30, 5, 200)
    assert (paper.initial, paper.population, paper.tournament, paper.children) == (1000, 100, 20, 4000)
    assert laptop.tries == paper.tries == 2500
    assert laptop.winners == 2


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("dataset=digit", UnknownNameError),
        ("preset=desktop", UnknownNameError),
        ("children=-1", ConfigError),
        ("childs=1", ConfigError),
        ("final.settings=[{network: resnet}]", UnknownNameError),
        ("final.settings=[{augmentation: some}]", UnknownNameError),
        ("initial=10", ConfigError),
    ],
)
def test_wrong_settings_are_named(override, kind):
    with pytest.raises(kind):
        load_evolve_loss(None, [override])


def test_an_evolution_leaves_losses_that_trainings_can_use(evolved):
    folder, output = evolved
    result = json.loads((folder / "result.json").read_text())
    (winner,) = result["losses"]
    assert winner["name"] == "digits-1"
    assert "training.loss=" in output
    chosen = chosen_loss(str(folder / "losses/digits-1.json"))
    loss = classification.get(**chosen)
    assert (loss.formula, loss.sign) == (winner["formula"], winner["sign"])
    module = runpy.run_path(str(folder / "evolved_losses.py"))
    logits, labels = torch.randn(4, 10, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    assert torch.equal(module["digits_1"]()(logits, labels), loss(logits, labels))
    (told,) = json.loads((folder / "losses.json").read_text())["losses"]
    assert len(told["test"]["digits / conv, light"]) == 2
    assert {row["loss"] for row in result["final"]} == {
        *("digits-1", "cross_entropy", "cross_entropy + LS", "focal", "baikal", "ngl")
    }
    assert all(0 <= row["test"] <= 100 for row in result["final"])
    assert len([m for m in result["members"] if m["parent"] is not None]) >= 3


def test_each_loss_gets_its_best_learning_rate_by_validation(evolved):
    asked = []

    class Told:
        def run(self, jobs):
            asked.extend(jobs)
            best = {"cross_entropy": 0.05, "focal": 0.15}
            found = [90.0 if job.setting.learning_rate == best[job.loss["name"]] else 50.0 for job in jobs]
            return [training.Trained(50.0, value, math.nan, 1, 1.0, "") for value in found]

    config = load_evolve_loss(None, SMALL)
    losses = {"a": {"name": "cross_entropy"}, "b": {"name": "focal"}}
    rates = choose_rates(config, losses, Told())
    assert rates == {("digits", "conv, light", "a"): 1.0, ("digits", "conv, light", "b"): 3.0}
    assert not any(one.test for one in asked)
    jobs = final_jobs(config, losses, rates)
    assert {(words["loss"], one.setting.learning_rate) for words, one in jobs} == {("a", 0.05), ("b", 0.15)}
    assert all(one.test for _, one in jobs)
    assert not {one.seed for one in asked} & {one.seed for _, one in jobs}


def test_the_report_shows_losses_funnel_and_tests(evolved):
    folder, _ = evolved
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    markdown = (folder / "report.md").read_text()
    for text in ("digits-1", "binary curve", "Wilcoxon", "12,026,624", "cross_entropy + LS", "Spearman"):
        assert text in markdown
    assert "http" not in page.replace("http-equiv", "")
    assert sorted(path.name for path in (folder / "figures").glob("*.png")) == [
        *("funnel.png", "history.png", "phenotypes.png")
    ]


def test_nothing_is_trained_again_and_another_evolution_is_refused(evolved, monkeypatch):
    folder, _ = evolved
    before = json.loads((folder / "result.json").read_text())
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr("po_nas.research.evolved_losses.trainings.train", None)
    again = evolve_loss(load_evolve_loss(None, [*SMALL, "seed=5"]), folder)
    assert json.loads(json.dumps(again)) == before
    with raised(ConfigError, key="out", value=folder):
        evolve_loss(load_evolve_loss(None, SMALL), folder)


def test_an_interrupted_evolution_takes_the_same_course(evolved, tmp_path, monkeypatch):
    folder, _ = evolved
    calls = []

    def failing(job):
        if len(calls) == 7:
            raise KeyboardInterrupt
        calls.append(job)
        return train(job)

    config = load_evolve_loss(None, [*SMALL, "seed=5", "final.seeds=1"])
    with monkeypatch.context() as patch:
        patch.setattr("po_nas.research.evolved_losses.trainings.train", failing)
        with pytest.raises(KeyboardInterrupt):
            evolve_loss(config, tmp_path)
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == 7
    found = evolve_loss(config, tmp_path)
    assert names(found) == names(json.loads((folder / "result.json").read_text()))


def test_results_without_an_evolution_are_asked_for(tmp_path):
    from po_nas.research.evolved_losses.results import Evolved

    with pytest.raises(RunDirectoryError, match="po-nas evolve loss"):
        Evolved.load(tmp_path)


def job(loss=None, test=False, **setting):
    chosen = Setting(**({"epochs": 2, "channels": 4, "batch": 64} | setting))
    return Job(loss or {"name": "cross_entropy"}, chosen, "digits", 0, 200, 0.5, test)


def test_no_test_image_is_read_before_the_end(monkeypatch):
    from po_nas.training.data.opened import TrainingData

    opened = []
    found = train(job())
    assert math.isnan(found.test)
    assert found.validation > 0
    monkeypatch.setattr(training, "_data", lambda *a: TrainingData(*parts(a), lambda: opened.append(1)))

    def parts(arguments):
        from po_nas.training.data import open_data
        from po_nas.training.device import chosen_device

        recipe = Setting().recipe(image_set("digits"), arguments[3], "cross_entropy")
        data = open_data(image_set("digits"), None, recipe, device=chosen_device("cpu"), samples=200)
        return data.train, data.validation

    train(job())
    assert opened == []
    assert math.isnan(train(job(test=True)).test)  # there are none
    assert opened == [1]


def test_a_training_that_learns_nothing_is_stopped():
    found = train(job(at=1, least=99.0))
    assert "after 1 epochs" in found.failure
    assert math.isnan(found.score)
    assert found.epochs == 1


def test_a_loss_that_is_not_finite_fails_alone(tmp_path):
    bad = {"name": "formula", "formula": "exp(exp(exp(exp(exp(y + p)))))", "sign": 1, "scale": 1.0}
    with Trainings(tmp_path) as trainings:
        failed, fine = trainings.run([job(bad), job()])
    assert failed.failure
    assert math.isnan(failed.score)
    assert fine.failure == ""


@pytest.mark.slow
def test_processes_find_what_one_process_finds(tmp_path):
    jobs = [job(), job({"name": "focal"})]
    with Trainings(tmp_path / "one") as one, Trainings(tmp_path / "two", workers=2) as two:
        assert [r.validation for r in one.run(jobs)] == [r.validation for r in two.run(jobs)]
    assert one.ended == two.ended == 2


def test_a_job_is_its_task():
    one = job({"name": "focal", "gamma": 2.0}, at=2)
    task = Task(**json.loads(text_of(task_of(one))))
    assert job_of(task) == one
    assert job_of(task).key == one.key
    assert task.name != task_of(job({"name": "focal", "gamma": 3.0}, at=2)).name


def test_an_executor_says_what_is_wrong_and_keeps_what_is_done(tmp_path):
    wanted = ExecutorConfig.model_validate({"name": "simulated"})
    missing = dataclasses.replace(job(), dataset="cifar10", data=str(tmp_path / "nowhere"))
    with Trainings(tmp_path, executor=wanted) as trainings:
        (fine,) = trainings.run([job()])
        with raised(ExecutorError, tmp_path / "nowhere"):
            trainings.run([missing])
    with Trainings(tmp_path) as trainings:
        assert [one.validation for one in trainings.run([job()])] == [fine.validation]


@pytest.mark.slow
def test_workers_that_die_end_an_evolution_with_an_error_of_ours(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif any('spawn_main' in word for word in sys.orig_argv):\n    os._exit(9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    config = load_evolve_loss(None, [*SMALL, "seed=5"])
    with pytest.raises(ExecutorError):
        evolve_loss(config, tmp_path / "out", workers=2)
    assert not (tmp_path / "out/result.json").exists()


def test_a_damaged_result_is_named(tmp_path):
    with Trainings(tmp_path) as trainings:
        trainings.run([job(epochs=1)])
    (part,) = (tmp_path / "parts").glob("*.parquet")
    part.write_bytes(b"nothing")
    with Trainings(tmp_path) as trainings, raised(RunDirectoryError, path=part):
        trainings.run([job(epochs=1)])


@pytest.mark.parametrize("name", ["conv", "darts_v2"])
def test_networks_give_logits_and_depend_on_the_seed(name):
    kind = image_set("digits")
    one, same, other = (build(name, kind, 2, 2, 0.1, seed).eval() for seed in (0, 0, 1))
    x = torch.ones(2, 3, 8, 8)
    assert one(x).shape == (2, 10)
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))


def test_regimes_grow_and_do_not_mirror_digits():
    for name in ("digits", "fashion-mnist"):
        found = [augmentation(regime, image_set(name)) for regime in REGIMES]
        assert [a.cutout for a in found] == sorted(a.cutout for a in found)
        assert found[1].flip == (name != "digits")


@pytest.mark.slow
def test_a_killed_evolution_goes_on(evolved, tmp_path):
    program = "import sys; from po_nas.commands.app import main; sys.argv[0] = 'po-nas'; main()"
    arguments = [
        sys.executable,
        "-c",
        program,
        "evolve",
        "loss",
        *SMALL,
        "--seed",
        "5",
        "--workers",
        "2",
        "--out",
        str(tmp_path),
    ]
    first = subprocess.Popen(arguments, start_new_session=True, cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 240
    while len(list((tmp_path / "parts").glob("*.parquet"))) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "result.json").exists()
    subprocess.run(arguments, check=True, cwd=Path(__file__).parents[3], timeout=240)
    folder, _ = evolved
    found, expected = (json.loads((place / "result.json").read_text()) for place in (tmp_path, folder))
    assert names(found) == names(expected)
