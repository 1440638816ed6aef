"""Benchmarks that train, from the objective to whole searches."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from torch import nn

import po_nas
from po_nas import benchmarks, spaces
from po_nas.core.settings import validated
from po_nas.core.trial import Trial
from po_nas.errors import ConfigError, MissingImagesError, NotATableError, RunDirectoryError, UnknownNameError
from po_nas.proxy_scores.combined import with_computed_proxies
from po_nas.runtime.api import run_search
from po_nas.runtime.config import SearchConfig, load_config
from po_nas.runtime.executors.messages import answer_of, answered, text_of
from po_nas.runtime.executors.objective_tasks import ObjectiveWorkload, evaluation, outcome_of
from po_nas.training import objective as objectives
from po_nas.training.data import image_set
from po_nas.training.final import TrainConfig
from po_nas.training.halving import Halving, Rungs
from po_nas.training.network import network_options
from po_nas.training.objective import TrainingOptions
from po_nas.training.recipe import names, recipe
from po_nas.training.records import EpochRecord
from po_nas.training.trainer import Trainer
from tests.errors import raised
from tests.training.toy_images import arrays, write_folders, write_parquet

ROOT = Path(__file__).parents[2]
DARTS = spaces.get("darts")
SMALL = {"network": {"channels": 8, "cells": 2}, "epochs": 2, "batch": 50}
TINY = {"recipe": SMALL, "samples": 150, "proxy_batch": 8}


def tiny(folder=None, **options):
    more = {} if folder is None else {"folder": str(folder)}
    return benchmarks.objective("train/darts/digits", options={**TINY, **more, **options})


def cells(n, seed=0):
    rng = np.random.default_rng(seed)
    return [spaces.get("darts").sample(rng) for _ in range(n)]


def timeless(outcome):
    return {k: v for k, v in outcome.metrics.items() if k != "samples_per_s"}


def curve(values):
    return [EpochRecord(e, 1.0, 50.0, v, 0.1, 1, 10, 1.0, 1.0) for e, v in enumerate(values, 1)]


# -- what is registered -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", benchmarks.names("train/*"))
def test_every_training_benchmark_has_its_recipes(name):
    spec = benchmarks.registry.entry(name).spec
    kind = image_set(name.split("/")[2])
    for feedback in spec.feedbacks:
        space = spaces.get(spec.space)
        options = network_options(space, recipe(feedback, space=spec.space), kind.options)
        network = space.build(space.sample(np.random.default_rng(0)), device="meta", **options)
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        assert last.out_features == kind.num_classes
        assert recipe(feedback).validation > 0


def test_a_training_benchmark_has_no_table_and_a_table_no_training():
    with raised(NotATableError, "po-nas search benchmark=train/darts/digits", benchmark="train/darts/digits"):
        benchmarks.get("train/darts/digits")
    with raised(ConfigError, "nasbench201/cifar10"):
        benchmarks.objective("nasbench201/cifar10", options={"device": "cpu"})
    with raised(UnknownNameError, "train/darts/cifar10", name="ponaz", suggestion="ponas"):
        benchmarks.objective("train/darts/cifar10", "ponaz")


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "training").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configurations(path):
    if path.stem.startswith("search"):
        config = load_config(path)
        assert benchmarks.trains(config.benchmark)
        validated(TrainingOptions, config.training)
    else:
        config = validated(TrainConfig, yaml.safe_load(path.read_text()) | {"genotype": "x"})
        network_options(DARTS, recipe(config.recipe, config.changes), image_set(config.dataset).options)


def test_final_recipes_fit_their_data_sets():
    from po_nas.training.final import default_recipe

    for dataset in ("digits", "fashion-mnist", "cifar10", "cifar100", "imagenet"):
        assert default_recipe(dataset) in names()
        network_options(DARTS, recipe(default_recipe(dataset)), image_set(dataset).options)
    with raised(ConfigError, "32", "digits", "8", key="recipe.network.auxiliary", value=True):
        network_options(DARTS, recipe("final_cifar"), image_set("digits").options, data="digits")


@pytest.mark.parametrize(
    ("options", "key", "value", "names"),
    [
        ({"divice": "cpu"}, "training.divice", "cpu", ["'device'"]),
        ({"recipe": {"epoch": 3}}, "training.recipe.epoch", 3, ["'epochs'"]),
        ({"recipe": {"validation": 0}}, "training.recipe.validation", 0, []),
        (
            {"recipe": {"network": {"auxiliary": True}}},
            "training.recipe.network.auxiliary",
            True,
            ["32", "digits", "8"],
        ),
        ({"device": "cuda:99"}, "device", "cuda:99", ["device=auto"]),
        ({"halving": {"eta": 1}}, "training.halving.eta", 1, []),
    ],
)
def test_wrong_options_cost_nothing(options, key, value, names, tmp_path):
    with raised(ConfigError, *names, key=key, value=value):
        po_nas.search(benchmark="train/darts/digits", method="random", budget=2, training=options, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_not_there_cost_nothing(tmp_path):
    with raised(MissingImagesError, "training.data=DIR", dataset="cifar10"):
        po_nas.search(benchmark="train/darts/cifar10", method="random", budget=2, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# -- one evaluation -----------------------------------------------------------------------------------------------


def test_an_outcome_and_what_the_reader_alone_may_know(tmp_path):
    objective = tiny(tmp_path)
    (cell,) = cells(1)
    assert objective.report(cell) == {"test": None}
    outcome = objective.evaluate(cell, seed=1)
    metrics = outcome.metrics
    assert metrics["validation"] == metrics["validation_last"] == metrics["validation_epoch_2"]
    assert metrics["validation_best"] == max(metrics["validation_epoch_1"], metrics["validation_epoch_2"])
    assert (metrics["epochs"], metrics["parts"], metrics["stopped"]) == (2, 1, 0)
    built = objective.space.build(cell, channels=8, cells=2)
    assert metrics["parameters_m"] * 1e6 == pytest.approx(sum(p.numel() for p in built.parameters()))
    assert not [name for name in metrics if "test" in name]
    assert 0 <= objective.report(cell)["test"] <= 100
    assert outcome.cost_s > 0
    # JSON, as a journal or another process needs it.
    assert json.loads(json.dumps(dict(metrics))) == metrics
    protocol = objective.protocol()
    json.dumps(protocol)
    assert all(part in protocol["split"] for part in ("25 %", "seed 0"))


def test_it_travels_as_its_name_and_options(tmp_path):
    objective = tiny(tmp_path)
    (cell,) = cells(1)
    first = objective.evaluate(cell, seed=3)
    elsewhere = pickle.loads(pickle.dumps(tiny()))
    assert "data" not in elsewhere.__dict__
    task = evaluation(Trial(0, cell, "random", 3), objective.space)
    answer = answer_of(answered(ObjectiveWorkload(elsewhere), text_of(task)))
    assert timeless(outcome_of(answer)) == timeless(first)
    assert elsewhere.report(cell) == objective.report(cell)


def test_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    (cell,) = cells(1)
    first = tiny(tmp_path).evaluate(cell, seed=1)
    (place,) = tmp_path.glob("*/seed1-*")
    assert sorted(p.name for p in place.iterdir()) == ["curve.jsonl", "result.json"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda self, epochs=None: pytest.fail("trained again"))
        assert tiny(tmp_path).evaluate(cell, seed=1) == first
    # Another seed is another training, and so are other settings; the report is the mean of what there is.
    other = tiny(tmp_path).evaluate(cell, seed=2)
    assert timeless(other) != timeless(first)
    tests = [json.loads(p.read_text())["test_last"] for p in tmp_path.glob("*/seed*/result.json")]
    assert len(tests) == 2
    assert tiny(tmp_path).report(cell)["test"] == pytest.approx(np.mean(tests))
    # A damaged record is trained again.
    (place / "result.json").write_text('{"curve": []}')
    assert timeless(tiny(tmp_path).evaluate(cell, seed=1)) == timeless(first)


def test_a_folder_can_be_shared_by_trainings_of_another_kind(tmp_path):
    """What the reader is told, and who is compared with whom, is of the same recipe."""
    (cell,) = cells(1)
    options = {"halving": {"first": 1, "eta": 2}}
    short = tiny(tmp_path, recipe=SMALL | {"epochs": 1, "learning_rate": 1e-9}, **options)
    long = tiny(tmp_path, recipe=SMALL | {"epochs": 3}, **options)
    for objective in (short, long):
        assert objective.evaluate(cell, seed=1).failure is None
    tests = [json.loads(p.read_text())["test_last"] for p in tmp_path.glob("*/seed*/result.json")]
    assert len(set(tests)) == 2
    assert {short.report(cell)["test"], long.report(cell)["test"]} == set(tests)
    assert len(list(tmp_path.glob("rungs-*"))) == 1  # the short one ends where the comparison would be


def test_a_training_cut_short_goes_on(tmp_path, monkeypatch):
    (cell,) = cells(1)
    expected = tiny().evaluate(cell, seed=1)
    epoch = Trainer._epoch
    done = []

    def killed(self, number):
        if number == 1:
            raise KeyboardInterrupt
        done.append(number)
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny(tmp_path).evaluate(cell, seed=1)
    (checkpoint,) = tmp_path.glob("*/seed1-*/checkpoint.pt")
    again = []
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", lambda self, number: again.append(number) or epoch(self, number))
        assert timeless(tiny(tmp_path).evaluate(cell, seed=1)) == timeless(expected)
    assert (done, again) == ([0], [1])
    assert not checkpoint.exists()


def test_a_damaged_checkpoint_costs_that_training_alone(tmp_path, monkeypatch):
    (cell,) = cells(1)
    objective = tiny(tmp_path)
    expected = tiny().evaluate(cell, seed=1)
    place = tmp_path / objective._place(cell) / objective._key(cell, 1)
    place.mkdir(parents=True)
    (place / "checkpoint.pt").write_bytes(b"torn")
    assert timeless(objective.evaluate(cell, seed=1)) == timeless(expected)


def test_a_fidelity_is_a_number_of_epochs(tmp_path):
    objective = tiny(tmp_path, recipe=SMALL | {"epochs": 4})
    (cell,) = cells(1)
    half, whole = (objective.evaluate(cell, seed=1, fidelity=f) for f in (2, None))
    assert (half.metrics["epochs"], whole.metrics["epochs"]) == (2, 4)
    assert half.validation == whole.metrics["validation_epoch_2"]


def test_a_training_goes_on_from_a_shorter_one(tmp_path, monkeypatch):
    (cell,) = cells(1)
    objective, epochs = tiny(tmp_path, recipe=SMALL | {"epochs": 4}), []
    expected = tiny(recipe=SMALL | {"epochs": 4}).evaluate(cell, seed=1)
    one_epoch = Trainer._epoch
    monkeypatch.setattr(Trainer, "_epoch", lambda self, epoch: epochs.append(epoch) or one_epoch(self, epoch))
    assert objective.fidelities.resumes
    assert not objective.goes_on(cell, seed=1, fidelity=1)
    told = [objective.evaluate(cell, seed=1, fidelity=1)]
    assert objective.report(cell)["test"] is None, "a shorter training looks at no test samples"
    assert objective.goes_on(cell, seed=1, fidelity=1)
    assert not objective.goes_on(cell, seed=1, fidelity=2)
    told += [objective.evaluate(cell, seed=1, fidelity=f) for f in (3, None)]
    assert epochs == [0, 1, 2, 3]
    assert timeless(told[-1]) == timeless(expected)
    assert objective.report(cell)["test"] is not None
    seconds = read_seconds(tmp_path, "result.json")
    assert sum(outcome.cost_s for outcome in told) == pytest.approx(seconds)
    assert all(outcome.cost_s > 0 for outcome in told)
    assert not list(tmp_path.glob("*/seed1-*/checkpoint.pt"))


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_vanished_checkpoint_begins_again_and_all_of_it_is_counted(tmp_path, damage, caplog):
    (cell,) = cells(1)
    objective = tiny(tmp_path, recipe=SMALL | {"epochs": 3})
    objective.evaluate(cell, seed=1, fidelity=2)
    (checkpoint,) = tmp_path.glob("*/seed1-*/checkpoint.pt")
    checkpoint.unlink() if damage == "gone" else checkpoint.write_bytes(b"torn")
    assert not objective.goes_on(cell, seed=1, fidelity=2)
    outcome = objective.evaluate(cell, seed=1)
    assert "the checkpoint after 2 epochs is gone; this training begins again" in caplog.text
    assert outcome.cost_s == pytest.approx(read_seconds(tmp_path, "result.json"))


def read_seconds(folder, name):
    (path,) = folder.glob(f"*/seed1-*/{name}")
    return json.loads(path.read_text())["seconds"]


def test_halving_and_fidelities_do_not_mix(tmp_path):
    assert not tiny(tmp_path, recipe=SMALL | {"epochs": 4}, halving={"first": 1, "eta": 2}).fidelities


def test_the_best_epoch_can_be_the_signal():
    (cell,) = cells(1)
    outcome = tiny(recipe=SMALL | {"signal": "best", "epochs": 3}).evaluate(cell, seed=1)
    assert outcome.validation == outcome.metrics["validation_best"]


def test_failures_are_outcomes():
    (cell,) = cells(1)
    outcome = tiny(recipe=SMALL | {"learning_rate": 1e30, "clip": None}).evaluate(cell, seed=1)
    assert outcome.validation is None
    assert outcome.failure.startswith("LossNotFiniteError: ")
    assert "epoch 1 " in outcome.failure
    assert outcome.cost_s > 0


def test_the_result_that_cannot_be_written_is_told_all_the_same(tmp_path, monkeypatch):
    from po_nas.errors import TrainingStorageError

    def full(path, data):
        raise TrainingStorageError(path, "No space left on device")

    (cell,) = cells(1)
    objective = tiny(tmp_path)
    monkeypatch.setattr(objectives, "write", full)
    outcome = objective.evaluate(cell, seed=1)
    assert outcome.validation is not None
    assert objective.report(cell)["test"] is not None
    assert list(tmp_path.glob("*/seed1-*/checkpoint.pt")), "kept, so that nothing need be trained again"


def test_isomorphic_cells_are_one():
    (cell,) = cells(1)
    assert tiny().identity(cell) == spaces.get("darts").canonical(cell)


# -- early stopping -----------------------------------------------------------------------------------------------


def test_rungs():
    halving = Halving(first=2, eta=3)
    assert [e for e in range(1, 30) if halving.is_rung(e)] == [2, 6, 18]


@pytest.mark.parametrize("kept", [True, False])
def test_the_worst_stop_and_the_best_go_on(tmp_path, kept):
    rungs = Rungs(Halving(first=1, eta=2), tmp_path if kept else None)
    told = []
    for key, value in (("a", 50.0), ("b", 60.0), ("c", 40.0), ("d", 70.0), ("e", 55.0)):
        other = Rungs(Halving(first=1, eta=2), tmp_path) if kept else rungs  # another process
        told.append(other.stop(key, curve([value])[0]) is None)
    # a: alone; b: best of 2; c: worst of 3; d: best of 4; e: third of 5, two go on.
    assert told == [True, True, False, True, False]
    assert rungs.stop("e", curve([1.0, 2.0, 3.0])[2]) is None  # no rung
    assert rungs.stop("c", curve([40.0])[0]) is not None  # asked again after a crash, it is not its own rival
    assert rungs.stop("d", curve([70.0])[0]) is None


@pytest.mark.slow
def test_a_search_with_halving_spends_fewer_epochs(tmp_path):
    training = TINY | {"recipe": SMALL | {"epochs": 3}, "halving": {"first": 1, "eta": 2}}
    found = po_nas.search(
        benchmark="train/darts/digits", method="random", budget=5, training=training, out=tmp_path / "run"
    )
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    told = [e["metrics"] for e in events if e["event"] == "tell"]
    assert found.failed == 0
    assert {m["epochs"] for m in told if m["stopped"]} <= {1.0, 2.0}
    assert any(m["stopped"] for m in told)
    assert all(m["epochs"] == 3 for m in told if not m["stopped"])
    (rungs,) = (tmp_path / "run/artifacts/trainings").glob("rungs-*")
    assert sorted(p.name for p in rungs.iterdir()) == ["1", "2"]


# -- searches -----------------------------------------------------------------------------------------------------


def test_a_search_is_resumed_in_the_middle_of_a_training(tmp_path, monkeypatch):
    training = TINY | {"tensorboard": True}
    settings = {"benchmark": "train/darts/digits", "method": "random", "budget": 3, "training": training}
    whole = po_nas.search(**settings, out=tmp_path / "whole")
    epoch = Trainer._epoch
    calls = []

    def killed(self, number):
        calls.append(number)
        if len(calls) == 4:  # the second epoch of the second training
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            po_nas.search(**settings, out=tmp_path / "killed")
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", lambda self, number: calls.append(number) or epoch(self, number))
        found = po_nas.resume(tmp_path / "killed")
    assert calls == [1, 0, 1]
    for name in ("incumbent", "validation", "test", "best_test_queried", "evaluations", "failed"):
        assert getattr(found, name) == getattr(whole, name)
    assert found.test is not None
    trainings = tmp_path / "whole/artifacts/trainings"
    assert len(list(trainings.glob("*/seed*/tensorboard/events*"))) == 3
    # The place of the trainings belongs to the run, not to its configuration.
    assert "folder" not in yaml.safe_load((tmp_path / "whole/config.yaml").read_text())["search"]["training"]


def test_po_nas_searches_with_metrics_of_the_data(tmp_path):
    found = po_nas.search(
        benchmark="train/darts/digits",
        method={"name": "po_nas", "pool": 8, "initial": 2, "initial_by_proxy": 1},
        budget=3,
        training=TINY,
        out=tmp_path / "run",
    )
    assert (found.evaluations, found.failed) == (3, 0)
    assert (tmp_path / "run/artifacts/trainings/scores.sqlite").is_file()
    objective = tiny()
    options, batch = objective.example_inputs()
    assert (options["channels"], options["auxiliary"], batch.inputs[0].shape) == (8, False, (8, 3, 8, 8))
    assert objective.proxies.computed == 0
    values = objective.proxies.values(cells(2), ["synflow"])
    assert np.isfinite(values).all()
    assert objective.proxies.computed == 2


@pytest.mark.slow
@pytest.mark.parametrize("metrics", [{}, {"compute": ["params", "nwot"]}])
def test_workers_that_train_compute_the_metrics_too(tmp_path, metrics):
    """The search is that of one process, to the last score; the images are read by the workers alone."""
    found = {}
    for executor in ("inline", "process"):
        config = SearchConfig(
            benchmark="train/darts/digits",
            method={"name": "po_nas", "pool": 8, "initial": 2, "initial_by_proxy": 1},
            budget={"max_evaluations": 3},
            training=TINY,
            proxies=metrics,
            executor={"name": executor},
        )
        run_search(config, tmp_path / executor)
        events = map(json.loads, (tmp_path / executor / "journal.jsonl").read_text().splitlines())
        found[executor] = [
            (e["architecture"], e["metrics"]["validation"] if e["event"] == "tell" else 0.0)
            for e in events
            if e["event"] in {"ask", "tell"}
        ]
        assert (tmp_path / executor / "artifacts/trainings/scores.sqlite").is_file()
    assert found["inline"] == found["process"]


def test_metrics_of_ones_own_choice_are_computed_on_the_networks_that_are_trained():
    wrapped = with_computed_proxies(tiny(), ["params"])
    (cell,) = cells(1)
    built = spaces.get("darts").build(cell, channels=8, cells=2)
    found = wrapped.proxies.values([cell], ["params", "synflow"])[0]
    assert found[0] == sum(p.numel() for p in built.parameters())
    assert np.isfinite(found[1])


def test_corrupt_images_fail_trials_and_say_where(tmp_path):
    pixels, labels = arrays(60, size=32)
    write_folders(tmp_path / "images/train", pixels, labels)
    write_folders(tmp_path / "images/test", pixels, labels)
    (tmp_path / "images/train/class004/4.png").write_bytes(b"torn")
    training = {"data": str(tmp_path / "images"), "recipe": SMALL}
    found = po_nas.search(
        benchmark="train/darts/cifar10", method="random", budget=2, training=training, out=tmp_path / "run"
    )
    assert (found.evaluations, found.failed, found.incumbent) == (2, 2, None)
    events = [json.loads(line) for line in (tmp_path / "run/journal.jsonl").read_text().splitlines()]
    reasons = [event["reason"] for event in events if event["event"] == "fail"]
    assert len(reasons) == 2
    for reason in reasons:
        assert "CorruptImageError: " in reason
        assert "class004/4.png: " in reason


def test_a_search_on_images_of_the_users_own(tmp_path):
    pixels, labels = arrays(60, size=32)
    write_parquet(tmp_path / "images/train-00000-of-00001.parquet", pixels, labels)
    write_parquet(tmp_path / "images/test-00000-of-00001.parquet", pixels[:20], labels[:20])
    training = {"data": str(tmp_path / "images"), "recipe": SMALL | {"epochs": 1, "batch": 16}}
    found = po_nas.search(
        benchmark="train/darts/cifar10", method="random", budget=1, training=training, out=tmp_path / "run"
    )
    assert found.failed == 0
    assert found.feedback == "ponas"
    assert found.test is not None


def test_the_streamed_set_trains(tmp_path, monkeypatch):
    """ImageNet's way on images of 32 pixels and three classes."""
    from dataclasses import replace

    from po_nas.training import data_sets

    smaller = replace(image_set("imagenet"), num_classes=3, size=32)
    entry = replace(data_sets.registry.entry("imagenet"), target=smaller)
    monkeypatch.setitem(data_sets.registry._entries, "imagenet", entry)
    pixels, labels = arrays(24, classes=3, size=40)
    write_folders(tmp_path / "train", pixels, labels)
    write_folders(tmp_path / "val", pixels[:6], labels[:6])
    objective = objectives.load(
        "darts/imagenet",
        "ponas_imagenet",
        {
            "data": str(tmp_path),
            "workers": 0,
            "recipe": {"network": {"channels": 8, "cells": 2}, "batch": 8, "validation": 0.25, "learning_rate": 0.1},
        },
    )
    (cell,) = cells(1)
    outcome = objective.evaluate(cell, seed=0)
    assert outcome.failure is None
    assert outcome.metrics["epochs"] == 3
    assert objective.report(cell)["test"] is not None


@pytest.mark.slow
def test_finished_searches_can_be_compared(tmp_path):
    """Test values of a search that trained are read from its directory."""
    from po_nas.compare.runs import read_runs

    for method in ("random", "local_search"):
        po_nas.search(benchmark="train/darts/digits", method=method, budget=2, training=TINY, out=tmp_path / method)
    study = read_runs([tmp_path / "random", tmp_path / "local_search"])
    for method in study.methods:
        assert np.isfinite(study.curves("test", "train/darts/digits", method)).all()
    longer = TINY | {"recipe": SMALL | {"epochs": 3}}
    po_nas.search(
        benchmark="train/darts/digits", method="random", budget=1, seed=1, training=longer, out=tmp_path / "longer"
    )
    with raised(RunDirectoryError, "epochs", "3", "2", path=tmp_path / "longer"):
        read_runs([tmp_path / "random", tmp_path / "longer"])
