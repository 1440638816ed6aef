"""training.loss: any classification loss in every training, and nothing changed where none is asked for."""

from __future__ import annotations

import errno
import json
import os
import pickle

import pytest
import torch
import yaml
from torch.nn import functional

from losses import classification
from po_nas import benchmarks
from po_nas.commands.train import _folder
from po_nas.core.settings import validated
from po_nas.errors import ConfigError, LossNotFiniteError, UnknownNameError
from po_nas.runtime.config import load_config
from po_nas.training.final import TrainConfig, train
from po_nas.training.recipe import Recipe, loss_of, recipe
from po_nas.training.trainer import Trainer
from tests.errors import raised
from tests.training.test_objective import cells
from tests.training.toy_images import small, tiny_recipe, toy_data

CPU = torch.device("cpu")
_EDGES = ", ".join(f"('skip_connect', {i})" for i in (0, 1) * 4)
_SKIPS = f"Genotype(normal=[{_EDGES}], normal_concat=[2, 3, 4, 5], reduce=[{_EDGES}], reduce_concat=[2, 3, 4, 5])"
SMALL = {"network": {"channels": 8, "cells": 2}, "epochs": 1, "batch": 50}


def trained(**changes):
    recipe = tiny_recipe(**changes)
    trainer = Trainer(small(auxiliary=True), toy_data(recipe), recipe, seed=1, device=CPU)
    return trainer, trainer.run()


def objective(**options):
    return benchmarks.objective("train/darts/digits", options={"recipe": SMALL, "samples": 100, **options})


def evolved(tmp_path, formula="exp(y - p) * exp(y - p)"):
    path = tmp_path / "ours.json"
    path.write_text(json.dumps({"name": "ours", "formula": formula, "scale": 0.5, "about": "a test"}))
    return path


# -- the usual loss -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_a_loss_nothing_changes(smoothing, monkeypatch):
    """Weights are those of torch's cross-entropy to the last bit."""
    one, result = trained(label_smoothing=smoothing)

    def plain(choice, label_smoothing):
        return lambda logits, y: functional.cross_entropy(logits.float(), y, label_smoothing=label_smoothing)

    monkeypatch.setattr("po_nas.training.task.loss_of", plain)
    other, expected = trained(label_smoothing=smoothing)
    assert [r.train_loss for r in result.curve] == [r.train_loss for r in expected.curve]
    for name, value in one.weights()["last"].items():
        assert torch.equal(value, other.weights()["last"][name])


def test_without_a_loss_trainings_keep_their_names(tmp_path):
    """Recipes, cells of the objective and folders are described as before there was a choice."""
    assert "loss" not in recipe("digits").model_dump(mode="json")
    assert "loss" not in json.loads(recipe("digits", {"loss": "cross_entropy"}).model_dump_json())
    (cell,) = cells(1)
    plain, named, other = objective(), objective(loss="cross_entropy"), objective(loss="focal")
    assert plain._key(cell, 0) == named._key(cell, 0) != other._key(cell, 0)
    assert plain.protocol() == named.protocol() != other.protocol()
    config = {"genotype": "g", "dataset": "digits"}
    folders = [_folder(TrainConfig.model_validate(config | more)) for more in ({}, {"training": {"loss": "focal"}})]
    assert str(folders[0]) == "runs/train_digits_40be58a9_seed0"
    assert folders[0] != folders[1]


# -- another one --------------------------------------------------------------------------------------------------


def test_the_loss_is_what_is_trained_under():
    """The first step's loss, by hand, auxiliary head and smoothed targets included."""
    choice = {"name": "formula", "formula": "exp(y - p)", "scale": 1.0}
    recipe = tiny_recipe(loss=choice, label_smoothing=0.1, batch=60, epochs=1)
    data = toy_data(recipe)
    batches, outputs = [], []
    shuffled = data.train.shuffled
    data.train.shuffled = lambda batch, seed: (batches.append(one) or one for one in shuffled(batch, seed))
    network = small(auxiliary=True)
    network.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    result = Trainer(network, data, recipe, seed=1, device=CPU).run()
    ((_, y),) = batches
    target = 0.9 * functional.one_hot(y, 10) + 0.01
    main, side = (torch.exp(target - z.softmax(1)).sum(1).mean() for z in outputs[0])
    assert result.curve[0].train_loss == pytest.approx((main + 0.4 * side).item(), rel=1e-5)


@pytest.mark.parametrize("name", [*sorted(set(classification.names()) - {"cross_entropy"})])
def test_every_loss_trains(name):
    for precision in ("fp32", "bf16"):
        _, result = trained(loss={"name": name, "scale": None}, epochs=2, precision=precision)
        assert result.curve[1].train_loss < result.curve[0].train_loss


def test_smoothing_of_the_loss_goes_before_that_of_the_recipe():
    assert loss_of("baikal", 0.1).label_smoothing == 0.1
    assert loss_of({"name": "baikal", "label_smoothing": 0.3}, 0.1).label_smoothing == 0.3
    assert loss_of("cross_entropy", 0.1).label_smoothing == 0.1


def test_a_loss_that_is_not_finite_fails_the_training():
    with pytest.raises(LossNotFiniteError):
        trained(loss={"name": "formula", "formula": "exp(exp(exp(exp(y + 1))))", "scale": 1})


@pytest.mark.parametrize(
    ("choice", "key", "names"),
    [
        ({"name": "focal", "gama": 1}, "training.loss", ["focal.gama", "'gamma'"]),
        ({"gamma": 1}, "training.loss", ["name"]),
        ({"name": "formula", "formula": "y * q"}, "training.loss", ["'q'"]),
        ("missing.json", "training.loss", ["missing.json", os.strerror(errno.ENOENT)]),
        (3, "training.loss", []),
    ],
)
def test_wrong_losses_cost_nothing(choice, key, names):
    with raised(ConfigError, *names) as caught:
        objective(loss=choice)
    assert caught.value.key.startswith(key)


def test_an_unknown_loss_costs_nothing():
    with raised(UnknownNameError, name="fokal", suggestion="focal"):
        objective(loss="fokal")


# -- where it is said ---------------------------------------------------------------------------------------------


def test_a_file_is_read_once(tmp_path, monkeypatch):
    """The search's record and workers elsewhere have the formula, so the file may go."""
    path = evolved(tmp_path)
    content = {"name": "formula", "formula": "exp(y - p) * exp(y - p)", "scale": 0.5}
    monkeypatch.chdir(tmp_path)
    settings = ("benchmark=train/darts/digits", "method=random", "budget=2", "training.loss=ours.json")
    config = load_config(None, settings)
    assert config.training["loss"] == content
    one = objective(loss=str(path))
    path.unlink()
    again = pickle.loads(pickle.dumps(one))
    (cell,) = cells(1)
    assert again.recipe.loss == one.recipe.loss == content
    assert again._key(cell, 0) == one._key(cell, 0)
    assert one.protocol()["recipe"]["loss"] == content
    with raised(ConfigError, "ours.json", os.strerror(errno.ENOENT)):
        load_config(None, settings)


def test_a_final_training(tmp_path):
    path = evolved(tmp_path)
    raw = {"genotype": _SKIPS, "dataset": "digits", "changes": SMALL, "samples": 100}
    config = validated(TrainConfig, raw | {"device": "cpu", "training": {"loss": str(path)}})
    result = train(config, tmp_path / "out")
    said = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert said["recipe"]["loss"] == {"name": "formula", "formula": "exp(y - p) * exp(y - p)", "scale": 0.5}
    assert train(config, tmp_path / "out") == result
    # The same folder with another loss is another training.
    evolved(tmp_path, "exp(y - p)")
    with raised(ConfigError, key="out", value=tmp_path / "out"):
        train(config, tmp_path / "out")
    assert validated(Recipe, said["recipe"]).loss == said["recipe"]["loss"]
