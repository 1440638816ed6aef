"""The built-in trainer on data and networks of the user's own."""

from __future__ import annotations

import json
import math
import pickle
import re
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from typer.testing import CliRunner

import po_nas
from po_nas import Categorical, Float, Int, Ordinal, Training, benchmarks, spaces
from po_nas.commands.app import app
from po_nas.errors import ConfigError, MissingImagesError, ProxyBatchError, SamplesError, UnknownNameError
from po_nas.proxy_scores.own_networks import LeftOutWarning
from po_nas.registry import Entry, load_plugin
from po_nas.spaces.declared.errors import DeclarationError
from po_nas.training import data_sets
from po_nas.training.data import TrainingData
from po_nas.training.data.own_data import OwnData
from po_nas.training.export import load_network, read_weights
from po_nas.training.final import TrainConfig, train
from po_nas.training.halving import Halving, Rungs
from po_nas.training.objective import TrainingObjective
from po_nas.training.recipe import recipe
from po_nas.training.records import EpochRecord, TrainingResult
from po_nas.training.task import Classification, NextToken, Regression
from po_nas.training.trainer import Trainer
from proxies import Batch
from tests.errors import check, raised

ROOT = Path(__file__).parents[2]
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(90, 6, generator=GENERATOR)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 1).long()
PIXELS = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8, generator=GENERATOR)
TOKENS = torch.arange(400) % 7
FAST = {"epochs": 2, "device": "cpu"}
PERCEPTRONS = po_nas.declare("perceptrons", depth=Int(1, 2), width=Ordinal([4, 8]), learning_rate=Float(1e-3, 1e-1))
PICTURES = po_nas.declare("pictures", width=Ordinal([4, 8]))
WORDS = po_nas.declare("words", width=Ordinal([4, 8]))
CURVES = po_nas.declare("curves", width=Ordinal([4, 8]), act=Categorical(["relu", "tanh"]))
BARE = po_nas.declare("bare", width=Ordinal([4, 8]))


@PERCEPTRONS.network
def perceptron(depth, width, in_features=6, num_classes=3, **rest):
    layers = [nn.Linear(in_features, width), nn.ReLU(), *([nn.Linear(width, width), nn.ReLU()] * (depth - 1))]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


class Picture(nn.Module):
    """With all the conventions: drop path, an auxiliary head."""

    sides = 0

    def __init__(self, width, in_channels, image_size, num_classes, auxiliary):
        super().__init__()
        assert image_size == 8
        self.body = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, num_classes)
        self.auxiliary = nn.Linear(width, num_classes) if auxiliary else None
        self.probabilities = []

    def set_drop_path(self, probability):
        self.probabilities.append(probability)

    def forward(self, x):
        h = self.body(x).mean((2, 3))
        if self.auxiliary is not None and self.training:
            Picture.sides += torch.is_grad_enabled()
            return self.head(h), self.auxiliary(h)
        return self.head(h)


@PICTURES.network
def picture(width, in_channels=3, image_size=8, num_classes=10, auxiliary=False):
    return Picture(width, in_channels, image_size, num_classes, auxiliary)


class Word(nn.Module):
    def __init__(self, width, vocab_size):
        super().__init__()
        self.embedding, self.head = nn.Embedding(vocab_size, width), nn.Linear(width, vocab_size)

    def forward(self, tokens):
        return self.head(self.embedding(tokens))


@WORDS.network
def word(width, vocab_size=2):
    return Word(width, vocab_size)


@CURVES.network
def curve(width, act, in_features=6, out_features=1):
    return nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, out_features))


class Pairs(Dataset):
    classes = ("a", "b", "c")

    def __len__(self):
        return len(X)

    def __getitem__(self, number):
        return X[number], int(Y[number])


def loader(shuffle=True, generator=None, **options):
    return DataLoader(TensorDataset(X, Y), 16, shuffle=shuffle, generator=generator, **options)


def first(space, seed=0):
    return space.sample(np.random.default_rng(seed))


def told(training, space, **options):
    """Metrics of one training, but for times."""
    outcome = training.on(space, **options).evaluate(first(space), seed=1)
    assert outcome.failure is None
    return {k: v for k, v in outcome.metrics.items() if k != "samples_per_s"}


# -- every space, every kind of data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "network"),
    [
        ("nasbench201", {"channels": 4, "cells": 1}),
        ("nasbench101", {"channels": 8, "stacks": 2, "cells": 1}),
        pytest.param("transnas_micro", {"channels": 4}, marks=pytest.mark.slow),
        pytest.param("transnas_macro", {"channels": 4}, marks=pytest.mark.slow),
    ],
)
def test_every_space_of_images_trains(space, network):
    name = f"train/{space}/digits"
    assert name in benchmarks.registry
    options = {"recipe": {"network": network, "epochs": 1, "batch": 32}, "samples": 80, "device": "cpu"}
    objective = benchmarks.objective(name, options=options)
    cell = first(objective.space)
    outcome = objective.evaluate(cell, seed=1)
    assert outcome.failure is None
    assert objective.report(cell)["test"] is not None
    built, batch = objective.example_inputs()
    assert (built["num_classes"], built["in_channels"], batch.inputs[0].shape[1:]) == (10, 3, (3, 8, 8))
    if space == "nasbench101":
        assert pickle.loads(pickle.dumps(objective)).evaluate(cell, seed=1).validation == outcome.validation
        assert np.isfinite(objective.proxies.values([cell], ["synflow"])).all()


def test_the_form_of_the_data_changes_nothing():
    expected = told(Training((X, Y), (X[:30], Y[:30]), **FAST), PERCEPTRONS)
    same = [
        ((X.double().numpy(), Y.int().numpy()), (X[:30].numpy(), Y[:30].numpy())),
        (TensorDataset(X, Y), TensorDataset(X[:30], Y[:30])),
        ([X, Y[:, None]], loader(False).dataset.__class__(X[:30], Y[:30])),
    ]
    for given, validation in same:
        assert told(Training(given, validation, **FAST), PERCEPTRONS) == expected
    assert told(Training((X, Y), TensorDataset(X[:30], Y[:30]), **FAST), PERCEPTRONS) == expected
    one = told(Training(Pairs(), Pairs(), batch=16, **FAST), PERCEPTRONS)
    train = Training(Pairs(), Pairs(), batch=16, **FAST).on(PERCEPTRONS).data.train
    assert [len(y) for _, y in train.shuffled(40, 0)] == [40, 40, 10]
    assert one == told(Training(Pairs(), loader(False), batch=16, **FAST), PERCEPTRONS)


@pytest.mark.parametrize("own", [True, False])
def test_a_loader_is_seeded_and_left_as_it_was(own, tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(5) if own else None
    training = Training(loader(generator=generator), loader(False), num_classes=3, epochs=3, device="cpu")
    before = torch.get_rng_state(), None if generator is None else generator.get_state()
    whole = told(training, PERCEPTRONS)
    assert told(training, PERCEPTRONS) == whole
    epoch = Trainer._epoch

    def killed(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            told(training, PERCEPTRONS, folder=tmp_path)
    assert told(training, PERCEPTRONS, folder=tmp_path) == whole
    _, batch = training.on(PERCEPTRONS).example_inputs()
    assert batch.inputs[0].shape == (16, 6)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert generator is None or torch.equal(generator.get_state(), before[1])


def test_images_of_bytes_are_augmented():
    labels = torch.arange(60) % 4
    settings = {"augmentation": {"crop": 1, "flip": True, "cutout": 3}, **FAST}
    data = Training((PIXELS, labels), **settings).on(PICTURES).data
    images, _ = next(data.train.shuffled(48, 0))
    assert images.shape == (48, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1
    assert (images == 0).float().mean() > 0.05


def test_conventions_of_networks(monkeypatch):
    seen = []
    monkeypatch.setattr(Picture, "set_drop_path", lambda self, probability: seen.append(probability))
    labels = torch.arange(60) % 4
    network = {"drop_path": 0.4, "auxiliary": True}
    objective = Training((PIXELS, labels), network=network, **FAST).on(PICTURES)
    outcome = objective.evaluate(first(PICTURES), seed=1)
    assert seen == [0.0, 0.2]
    assert objective.network["auxiliary"] is False
    alone = told(Training((PIXELS, labels), **FAST), PICTURES)
    assert outcome.metrics["parameters_m"] == alone["parameters_m"]
    assert Picture.sides == 2


def test_choices_set_the_recipe():
    objective = Training((X, Y), **FAST).on(PERCEPTRONS)
    low, high = (PERCEPTRONS.architecture_of({"depth": 1, "width": 8, "learning_rate": rate}) for rate in (0.001, 0.1))
    assert objective.evaluate(low, seed=1).metrics["train_accuracy"] < objective.evaluate(high, seed=1).validation
    assert objective._recipe_of(high).learning_rate == pytest.approx(0.1)
    named = po_nas.declare("named", momentum=Float(0.1, 0.9), width=Ordinal([4, 8]))
    named.network(lambda momentum, width, num_classes=3: nn.Linear(6, num_classes))
    assert Training((X, Y), **FAST).on(named)._recipe_of(first(named)).momentum == 0.9


# -- tasks --------------------------------------------------------------------------------------------------------


def test_regression():
    for targets, options in ((X.sum(1), {}), (X[:, :2], {"metric": "rmse"})):
        training = Training((X, targets), epochs=2, device="cpu", **options)
        found = told(training, CURVES)
        assert "train_rmse" in found if options else "train_r2" in found
        assert training.on(CURVES).metric.maximize is not bool(options)


def test_tokens_are_predicted():
    few, many = (told(Training(TOKENS, context=9, epochs=n, learning_rate=0.1), WORDS) for n in (1, 20))
    assert many["validation"] < few["validation"] < 7.5  # seven tokens, chance is seven
    right = told(Training(TOKENS.reshape(40, 10), epochs=20, learning_rate=0.1, metric="accuracy"), WORDS)
    assert right["validation"] == 100
    assert many["best_epoch"] == 20 if many["validation_best"] == many["validation"] else True


def test_metrics_are_those_of_the_textbook_however_batches_are_cut():
    from sklearn.metrics import r2_score

    generator = torch.Generator().manual_seed(1)
    wanted, found = torch.randn(50, 2, generator=generator), torch.randn(50, 2, generator=generator)
    logits, tokens = torch.randn(50, 4, 5, generator=generator), torch.randint(5, (50, 4), generator=generator)
    tokens[::3, 0] = -100
    counts = tokens != -100
    entropy = nn.functional.cross_entropy(logits[counts], tokens[counts])
    right = (logits.argmax(2) == tokens)[counts].float().mean()
    labels = tokens[:, 1]
    cases = [
        (Regression("r2"), found, wanted, r2_score(wanted.numpy(), found.numpy())),
        (Regression("rmse"), found, wanted, float((found - wanted).square().mean().sqrt())),
        (NextToken(5, "perplexity"), logits, tokens, math.exp(entropy)),
        (NextToken(5, "accuracy"), logits, tokens, 100 * float(right)),
        (Classification(5), logits[:, 1], labels, 100 * float((logits[:, 1].argmax(1) == labels).float().mean())),
    ]
    for task, outputs, targets, expected in cases:
        for size in (50, 7):
            parts = zip(outputs.split(size), targets.split(size), strict=True)
            sums = torch.stack([task.sums(*part) for part in parts]).sum(0)
            assert task.value(sums, 50) == pytest.approx(expected, rel=1e-5), (task, size)
        assert task.loss(recipe("own"))(outputs, targets).dim() == 0


def test_r2_of_equal_targets_is_no_number():
    task = Regression()
    for size in range(2, 40):
        targets = torch.full((size,), 0.1 * size)
        assert math.isnan(task.value(task.sums(torch.arange(float(size)), targets), size)), size
    far = torch.arange(40.0) + 10_000
    assert task.value(task.sums(far, far), 40) == 1


def test_a_batch_without_tokens_that_count_teaches_nothing():
    logits = torch.ones(2, 3, 5, requires_grad=True)
    loss = NextToken(5).loss(recipe("own"))(logits, torch.full((2, 3), -100))
    loss.backward()
    assert (float(loss.detach()), float(logits.grad.abs().sum())) == (0, 0)


def test_a_batch_in_parts_is_the_same_step_though_positions_do_not_count():
    tokens = torch.randint(5, (8, 4), generator=torch.Generator().manual_seed(2))
    tokens[:3] = -100
    tokens[4, 1:] = -100
    found = []
    for parts in (1, 2, 3):
        network = nn.Linear(4, 5)
        nn.init.constant_(network.weight, 0.1)
        nn.init.constant_(network.bias, 0.0)
        data = TrainingData(range(8), None, lambda: None, NextToken(5))
        trainer = Trainer(network, data, recipe("own"), seed=0, device=torch.device("cpu"))
        trainer._parts = parts
        loss, _ = trainer._step(torch.arange(128.0).reshape(8, 4, 4) / 100, tokens)
        found.append((float(loss), network.weight.grad.clone()))
    for loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1])


def test_less_is_better_where_it_is():
    curve = tuple(EpochRecord(e, 1.0, 2.0, v, 0.1, 1, 10, 1.0, 1.0) for e, v in enumerate((3.0, 2.0, math.nan, 2.5), 1))
    assert TrainingResult(curve, None, None, None, 0, maximize=False).best.epoch == 2
    assert TrainingResult(curve, None, None, None, 0).best.epoch == 1
    rungs = Rungs(Halving(first=1, eta=2), None, maximize=False)
    assert [rungs.stop(key, curve[epoch]) is None for key, epoch in (("a", 0), ("b", 0))] == [True, True]
    worse = EpochRecord(1, 1.0, 2.0, 4.0, 0.1, 1, 10, 1.0, 1.0)
    assert rungs.stop("c", worse) is not None
    result = TrainingResult(curve[:2], 1.0, None, None, 0, maximize=False)
    assert TrainingResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


# -- what earlier versions left -----------------------------------------------------------------------------------


def test_trainings_of_before_are_found():
    """Keys of trainings of DARTS are those of version 0.1, and so are their records."""
    small = {"network": {"channels": 8, "cells": 2}, "epochs": 2, "batch": 50}
    objective = benchmarks.objective("train/darts/digits", options={"recipe": small, "samples": 150, "proxy_batch": 8})
    cell = first(spaces.get("darts"))
    assert (objective._place(cell), objective._key(cell, 1)) == ("90e9aa35457e9f11", "seed1-178d4673d7d28a21")
    old = {"epoch": 1, "train_loss": 1.0, "train_accuracy": 50.0, "validation": 40.0, "learning_rate": 0.1}
    old |= {"parts": 1, "images": 10, "train_s": 1.0, "seconds": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        record = EpochRecord.from_dict(old)
    assert (record.train_metric, record.samples) == (50.0, 10)


def test_a_network_of_another_space_is_trained_to_the_end_and_read_again(tmp_path):
    """Also from a file of version 0.1, with the names that options had then."""
    space = spaces.get("nasbench201")
    cell = space.to_string(first(space))
    changes = {"epochs": 1, "network": {"channels": 4, "cells": 1}}
    config = TrainConfig(genotype=cell, dataset="digits", space="nasbench201", changes=changes, device="cpu")
    train(config, tmp_path)
    file = read_weights(tmp_path / "weights.pt")
    old = {("classes" if name == "num_classes" else name): value for name, value in file["network"].items()}
    del old["in_channels"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        networks = [load_network(one) for one in (file, file | {"network": old})]
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(networks[0](x), networks[1](x))
    with raised(ConfigError, key="changes.network.chanels"):
        train(config.model_copy(update={"changes": {"network": {"chanels": 4}}}), tmp_path / "other")


def test_a_network_that_does_not_take_the_images_is_refused_before_it_is_trained(tmp_path):
    space = po_nas.declare("vectors_alone", width=Ordinal([4, 8]))
    space.network(lambda width, in_channels=3, num_classes=10: nn.Sequential(nn.Flatten(), nn.Linear(7, num_classes)))
    spaces.registry.add(Entry("vectors_alone", "", lambda: space))
    try:
        string = space.to_string(first(space))
        config = TrainConfig(
            genotype=string, dataset="digits", space="vectors_alone", changes={"epochs": 1}, device="cpu"
        )
        with raised(ConfigError, key="space", value="vectors_alone"):
            train(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    finally:
        spaces.registry.remove("vectors_alone")


def test_classes_that_there_are_not_fail_the_trial():
    training = Training(loader(), loader(False), num_classes=2, **FAST)
    outcome = training.on(PERCEPTRONS).evaluate(first(PERCEPTRONS), seed=1)
    assert outcome.failure.startswith("SamplesError: ")
    unknown = po_nas.declare("unknown", width=Ordinal([4, 8]))
    unknown.network(lambda width: nn.Linear(6, 2))
    outcome = Training(loader(), loader(False), **FAST).on(unknown).evaluate(first(unknown), seed=1)
    assert outcome.failure.startswith("NetworkOutputError: ")
    # -100 is ignored by torch's loss, and would be a wrong prediction to the accuracy.
    unlabelled = DataLoader(TensorDataset(X, Y.where(Y > 0, -100)), 16)
    for space, options in ((PERCEPTRONS, {"num_classes": 3}), (unknown, {})):
        outcome = Training(unlabelled, loader(False), **options, **FAST).on(space).evaluate(first(space), seed=1)
        assert outcome.failure is not None


# -- searches -----------------------------------------------------------------------------------------------------


def test_a_search_is_gone_on_with_on_the_same_data_alone(tmp_path, monkeypatch):
    training = Training((X, Y), test=(X[:20], Y[:20]), halving={"first": 1, "eta": 2}, **FAST)
    arguments = {"space": PERCEPTRONS, "method": "random", "budget": 3, "proxies": ["params", "synflow", "grasp"]}
    whole = po_nas.search(**arguments, objective=training, out=tmp_path / "whole")
    assert (whole.evaluations, whole.failed) == (3, 0)
    assert whole.test is not None
    record = yaml.safe_load((tmp_path / "whole/config.yaml").read_text())["protocol"]
    assert record["recipe"]["epochs"] == 2
    assert record["metric"] == "validation accuracy"
    epoch, calls = Trainer._epoch, []

    def killed(self, number):
        calls.append(number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return epoch(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            po_nas.search(**arguments, objective=training, out=tmp_path / "killed")
    for other, key in (
        (Training((X + 1, Y), test=(X[:20], Y[:20]), halving={"first": 1, "eta": 2}, **FAST), "data"),
        (Training((X, Y), test=(X[:20], Y[:20]), epochs=3, device="cpu"), "recipe.epochs"),
        (Training((X, Y), test=(X[:20], Y[:20]), samples=50, halving={"first": 1, "eta": 2}, **FAST), "dataset"),
        (Training((X, Y), test=(X[:20], Y[:20]), **FAST), "early_stopping"),
    ):
        with raised(ConfigError, key=key):
            po_nas.resume(tmp_path / "killed", objective=other, space=PERCEPTRONS)
    found = po_nas.resume(tmp_path / "killed", objective=training, space=PERCEPTRONS)
    assert (found.incumbent, found.validation, found.test) == (whole.incumbent, whole.validation, whole.test)


def test_diverged_trainings_are_failed_trials(tmp_path):
    training = Training((X, Y), optimizer="sgd", learning_rate=1e30, clip=None, **FAST)
    found = po_nas.search(space=BARE_READY, objective=training, method="random", budget=2, out=tmp_path / "run")
    assert (found.evaluations, found.failed) == (2, 2)
    reasons = [json.loads(line).get("reason") or "" for line in (tmp_path / "run/journal.jsonl").open()]
    assert sum("LossNotFiniteError: " in reason for reason in reasons) == 2


def test_a_metric_that_is_minimised_may_be_one_of_several(tmp_path):
    space = po_nas.declare("lines", width=Ordinal([4, 8]))
    space.network(lambda width: nn.Sequential(nn.Linear(6, width), nn.Linear(width, 1)))
    training = Training((X, X[:, 0]), metric="rmse", epochs=1, device="cpu")
    settings = {"space": space, "objective": training, "method": "random", "budget": 2}
    found = po_nas.search(objectives={"validation": "min", "params": "min"}, out=tmp_path / "run", **settings)
    assert (found.evaluations, found.failed) == (2, 0)
    with raised(ConfigError, key="objectives.validation"):
        po_nas.search(objectives={"validation": "max", "params": "min"}, out=tmp_path / "other", **settings)
    with raised(ConfigError, key="metric"):
        po_nas.search(maximize=False, out=tmp_path / "other", **settings)


BARE_READY = po_nas.declare("bare_ready", width=Ordinal([4, 8]))
BARE_READY.network(lambda width: nn.Sequential(nn.Linear(6, width), nn.Linear(width, 3)))


def test_the_examples_of_the_docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for page in ("own_networks", "training"):
        for block in re.findall(r"```python\n(.*?)```", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL):
            (tmp_path / re.match(r"# file: (\S+)", block)[1]).write_text(block)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeftOutWarning)
        runpy.run_path("on_my_data.py", run_name="__main__")
    runpy.run_path("tables_and_text.py", run_name="__main__")
    for run, failed in (("perceptron", 0), ("tabular", 0), ("spelling", 0)):
        assert json.loads((tmp_path / "runs" / run / "summary.json").read_text())["failed"] == failed
    load_plugin("my_data.py")
    try:
        assert "train/nasbench201/stripes" not in benchmarks.names()  # they may be anything
        options = {"recipe": {"network": {"channels": 4, "cells": 1}, "epochs": 1}, "device": "cpu"}
        objective = benchmarks.objective("train/nasbench201/stripes", options=options)
        assert objective.evaluate(first(objective.space), seed=1).failure is None
        assert objective.network["in_channels"] == 1
        with raised(MissingImagesError, dataset="birds"):
            benchmarks.objective("train/nasbench201/birds")
    finally:
        for name in ("stripes", "birds"):
            data_sets.registry.remove(name)


def test_a_configuration_names_a_training_of_a_plug_in(tmp_path):
    (tmp_path / "plugged_training.py").write_text(
        "import po_nas, torch\n"
        "from torch import nn\n"
        "@po_nas.declare\n"
        "class plugged:\n"
        "    width = po_nas.Ordinal([4, 8])\n"
        "    def build(width, in_features=2, num_classes=2):\n"
        "        return nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, num_classes))\n"
        "x = torch.arange(80.0).reshape(40, 2)\n"
        "learning = po_nas.Training((x, torch.arange(40) % 2), epochs=1, device='cpu')\n"
    )
    from po_nas.runtime.api import run_search
    from po_nas.runtime.config import search_config
    from po_nas.runtime.setup import make_objective

    plugin = str(tmp_path / "plugged_training.py")
    load_plugin(plugin)
    try:
        settings = {
            "space": "plugged",
            "objective": "learning",
            "method": {"name": "random"},
            "budget": {"max_evaluations": 1},
        }
        objective = make_objective(search_config({**settings, "plugins": [plugin]}), tmp_path)
        assert isinstance(objective, TrainingObjective)
        assert objective.evaluate(first(objective.space), seed=0).failure is None
        assert list((tmp_path / "artifacts/trainings").glob("*/seed0-*/result.json"))
        assert "train/plugged/digits" in benchmarks.names("train/plugged/*")
        run = tmp_path / "run"
        run_search(search_config({**settings, "plugins": [plugin]}), run)
        module = load_plugin(plugin)
        module.learning = Training((torch.arange(80.0).reshape(40, 2), torch.arange(40) % 2), epochs=2, device="cpu")
        with raised(ConfigError, key="recipe.epochs"):
            po_nas.resume(run, trust=True)
    finally:
        spaces.registry.remove("plugged")


# -- what cannot be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "data"),
    [
        (lambda: Training((X, Y[:5])), SamplesError, {"where": "train"}),
        (lambda: Training((X * math.nan, Y)), SamplesError, {"where": "train"}),
        (lambda: Training((X, Y - 1)), SamplesError, {"where": "train"}),
        (lambda: Training((X, Y.where(Y > 0, -100))), SamplesError, {"where": "train"}),
        (lambda: Training((X, Y), (X, Y + 4), num_classes=3), SamplesError, {"where": "validation"}),
        (lambda: Training((X, Y), (X[:, :3], Y)), SamplesError, {"where": "validation"}),
        (lambda: Training(X), SamplesError, {"where": "train"}),
        (lambda: Training(TOKENS), SamplesError, {"where": "train"}),
        (lambda: Training(TOKENS, context=300), SamplesError, {"where": "train"}),
        (lambda: Training(None), SamplesError, {"where": "train"}),
        (lambda: Training({"x": 1}), SamplesError, {"where": "train"}),
        (lambda: Training((X[:1], Y[:1])), SamplesError, {"where": "train"}),
        (lambda: Training(Pairs()), SamplesError, {"where": "validation"}),
        (lambda: Training((X, Y.float()), task="classification"), SamplesError, {"where": "train"}),
        (lambda: Training((X, X[:, :2].long().abs())), SamplesError, {"where": "train"}),
        (lambda: Training("digitz"), UnknownNameError, {"suggestion": "digits"}),
        (lambda: Training((X, Y), task="classify"), UnknownNameError, {"suggestion": "classification"}),
        (lambda: Training((X, X[:, 0]), (X[:9], torch.ones(9))), SamplesError, {"where": "validation"}),
        (lambda: Training((X, Y), metric="f1"), UnknownNameError, {"name": "f1"}),
        (lambda: Training((X, Y), recipe="owm"), UnknownNameError, {"suggestion": "own"}),
        (lambda: Training((X, Y), epoch=3), ConfigError, {"key": "epoch"}),
        (lambda: Training(loader(), loader(), batch=3), ConfigError, {"key": "batch"}),
        (lambda: Training(TOKENS, context=9, num_classes=5), SamplesError, {"where": "train"}),
        (lambda: Training((X, Y), validation=0.0), ConfigError, {"key": "validation"}),
        (lambda: Training("digits", (X, Y)), ConfigError, {"key": "validation"}),
        (lambda: Training((X, Y), samples=4), ConfigError, {"key": "share of samples"}),
        (lambda: Training(Pairs(), (X, Y), samples=4), ConfigError, {"key": "samples"}),
        (lambda: Training((X.to(torch.cfloat), Y)), SamplesError, {"where": "train"}),
        (lambda: Training((X, Y), data="images"), ConfigError, {"key": "data", "value": "images"}),
        (lambda: Training("cifar10", data="/nowhere/cifar"), MissingImagesError, {"dataset": "cifar10"}),
        (lambda: Training((X, X[:, 0]), loss="focal"), ConfigError, {"key": "loss"}),
        (lambda: Training((X, Y), augmentation={"flip": True}), ConfigError, {"key": "augmentation"}),
        (lambda: Training((X, Y), network={"widht": 3}).on(PERCEPTRONS), ConfigError, {"value": 3}),
        (lambda: Training((X, Y), network={"drop_path": 0.1}).on(PERCEPTRONS), ConfigError, {"value": 0.1}),
        (lambda: Training((X, Y), network={"auxiliary": True}).on(PERCEPTRONS), ConfigError, {"value": True}),
        (lambda: Training((PIXELS, Y[:60])).on(WORDS), ConfigError, {"key": "space", "value": "words"}),
        (lambda: Training((X, Y + 5)).on(CURVES), ConfigError, {"key": "space", "value": "curves"}),
        (lambda: Training((X, Y)).on(spaces.get("nasbench201")), ConfigError, {"value": "nasbench201"}),
        (lambda: Training((X, Y)).on(BARE), DeclarationError, {"where": "bare"}),
    ],
)
def test_it_is_refused_before_anything_is_trained(make, error, data):
    with raised(error, **data):
        make()


def test_names_are_checked():
    with raised(UnknownNameError, name="nasbench20", suggestion="nasbench201"):
        benchmarks.objective("train/nasbench20/digits")
    with raised(UnknownNameError, name="digit", suggestion="digits"):
        benchmarks.objective("train/nasbench201/digit")
    assert "train/nasbench201/digit" not in benchmarks.registry
    with raised(ConfigError, key="training.recipe.network.chanels"):
        benchmarks.objective("train/nasbench201/digits", options={"recipe": {"network": {"chanels": 4}}})
    with raised(ConfigError, key="space", value="nasbench_graph"):
        pytest.importorskip("torch_geometric")
        benchmarks.objective("train/nasbench_graph/digits")
    with raised(ConfigError, key="metric"):
        po_nas.search(
            space=PERCEPTRONS, objective=Training((X, Y)), metric="f1", method="random", budget=1, out="nowhere"
        )


@pytest.mark.parametrize("which", [0, 1])
def test_tensors_that_hold_no_numbers_are_refused(which):
    given = [torch.ones(4, 2), torch.ones(4)]
    given[which] = given[which].to("meta")
    with raised(SamplesError):
        OwnData(train=tuple(given)).parts  # noqa: B018
    with raised(ProxyBatchError):
        Batch.of((given[0], given[1]))


def test_what_to_do_with_data_of_ones_own_is_said_where_weights_are_exported(tmp_path):
    found = po_nas.search(
        space=PERCEPTRONS, objective=Training((X, Y), **FAST), method="random", budget=1, out=tmp_path / "run"
    )
    winner = json.loads(CliRunner().invoke(app, ["export", found.directory]).output)
    assert winner["config"] == PERCEPTRONS.config_of(PERCEPTRONS.from_string(winner["string"]))
    done = CliRunner().invoke(app, ["export", found.directory, "--format", "torch", "--out", str(tmp_path / "x.pt")])
    assert isinstance(done.exception, ConfigError)
    check(done.exception, f"from_string({found.incumbent!r})", key="format", value=found.benchmark)


# -- choices that nobody uses ------------------------------------------------------------------------------------------


def test_a_choice_that_nobody_uses_is_refused():
    space = po_nas.declare("dead", depth=Int(1, 2), width=Ordinal([4, 8]).each("depth"), lr=Float(1e-3, 1e-1))

    @space.network
    def network(width, in_features=6, num_classes=3, **rest):
        return nn.Linear(in_features, num_classes)

    with raised(ConfigError, key="choice", value="lr"):
        Training((X, Y), 0.3, **FAST).on(space)


@pytest.mark.parametrize("way", ["named", "rest", "nested", "setting"])
def test_a_choice_that_somebody_uses_is_not(way):
    name = "learning_rate" if way == "setting" else "lr"
    space = po_nas.declare("alive", width=Ordinal([4, 8]), **{name: Float(1e-3, 1e-1)})

    def named(width, lr, in_features=6, num_classes=3):
        return nn.Linear(in_features, num_classes)

    def rest(width, in_features=6, num_classes=3, **others):
        return nn.Sequential(nn.Dropout(others["lr"]), nn.Linear(in_features, num_classes))

    def nested(width, in_features=6, num_classes=3, **others):
        def layer():
            return nn.Dropout(others["lr"])

        return nn.Sequential(layer(), nn.Linear(in_features, num_classes))

    def setting(width, in_features=6, num_classes=3, **others):
        return nn.Linear(in_features, num_classes)

    space.network({"named": named, "rest": rest, "nested": nested, "setting": setting}[way])
    assert Training((X, Y), 0.3, **FAST).on(space).space is space
