"""What only a GPU can show; everything else is tested without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas import spaces
from po_nas.training.data import Images, TrainingData, image_set
from po_nas.training.data.loaders import ResidentLoader
from po_nas.training.network import network_options
from po_nas.training.objective import TrainingObjective
from po_nas.training.recipe import recipe
from po_nas.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
KIND = image_set("cifar10")


def trainer(settings, folder=None, on_epoch=lambda record: None, images=512):
    device = torch.device("cuda", torch.cuda.current_device())
    rng = np.random.default_rng(0)
    labels = np.arange(images) % 10
    pixels = (rng.integers(0, 60, (images, 32, 32, 3)) + labels[:, None, None, None] * 19).astype(np.uint8)
    loader = ResidentLoader(KIND, Images.checked(KIND, pixels, labels), device, settings.augmentation)
    space = spaces.get("darts")
    network = space.build(
        space.sample(np.random.default_rng(0)), seed=0, **network_options(space, settings, KIND.options)
    )
    data = TrainingData(loader, loader, lambda: loader)
    return Trainer(network, data, settings, seed=1, device=device, folder=folder, on_epoch=on_epoch)


def small(**changes):
    return recipe("ponas", {"network": {"channels": 8, "cells": 3}, "batch": 64, "epochs": 4} | changes)


class Killed(BaseException):
    pass


def kill_after(epoch):
    def kill(record):
        if record.epoch == epoch:
            raise Killed

    return kill


def test_killed_and_resumed_is_never_killed_in_deterministic_mode(tmp_path):
    settings = small(deterministic=True)
    whole = trainer(settings)
    whole.run()
    with pytest.raises(Killed):
        trainer(settings, tmp_path, kill_after(2)).run()
    again = trainer(settings, tmp_path)
    again.run()
    first, second = whole.weights()["last"], again.weights()["last"]
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(precision):
    result = trainer(small(precision=precision, epochs=8)).run()
    assert result.curve[-1].train_loss < 0.8 * result.curve[0].train_loss


def test_nothing_is_left_in_torch():
    states = torch.random.get_rng_state(), torch.cuda.get_rng_state()
    trainer(small(epochs=1)).run()
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert torch.equal(torch.cuda.get_rng_state(), states[1])
    assert not torch.backends.cudnn.benchmark


def test_real_want_of_memory_cuts_batches():
    """So little memory that the whole batch cannot fit and a part of it can."""
    settings = small(network={"channels": 32, "cells": 6}, batch=512, epochs=1)
    one = trainer(settings)
    torch.cuda.reset_peak_memory_stats()
    one.run()
    used = torch.cuda.max_memory_allocated()
    del one
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.6 * used / total)
    try:
        result = trainer(settings).run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.curve[0].parts in {2, 4, 8}


def test_a_whole_evaluation():
    objective = TrainingObjective("darts/digits", "digits", {"device": "cuda", "samples": 300})
    outcome = objective.evaluate(objective.space.sample(np.random.default_rng(0)), seed=0)
    assert outcome.failure is None
    assert outcome.validation > 20
