"""The trainer against torch by hand, and against everything that goes wrong on the way."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from po_nas.errors import (
    ConfigError,
    LossNotFiniteError,
    TrainingCheckpointError,
    TrainingMemoryError,
    UnknownNameError,
)
from po_nas.training import recipe as recipes
from po_nas.training import trainer as trainers
from po_nas.training.device import Precision, chosen_device, isolated, reseed, safe_in_channels_last
from po_nas.training.records import TrainingResult
from po_nas.training.trainer import Trainer
from tests.errors import raised
from tests.training.toy_images import small, tiny_recipe, toy_data

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def trainer(recipe=None, seed=1, network=None, **options):
    recipe = recipe or tiny_recipe()
    return Trainer(
        network or small(), options.pop("data", None) or toy_data(recipe), recipe, seed=seed, device=CPU, **options
    )


def same(first, second):
    assert first.keys() == second.keys()
    for which in first:
        for name, value in first[which].items():
            assert torch.equal(value, second[which][name]), (which, name)


def timeless(result):
    return [(r.epoch, r.train_loss, r.train_metric, r.validation, r.learning_rate, r.parts) for r in result.curve]


# -- recipes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipes.names())
def test_the_recipes_of_the_package(name):
    found = recipes.recipe(name)
    rates = [found.learning_rate_in(epoch) for epoch in range(found.epochs)]
    assert max(rates) == pytest.approx(found.learning_rate)
    assert all(rate > 0 for rate in rates)
    assert all(a >= b for a, b in zip(rates[found.warmup_epochs :], rates[found.warmup_epochs + 1 :], strict=False))
    assert found.drop_path_in(0) == 0


def test_published_settings():
    ponas, cifar = recipes.recipe("ponas"), recipes.recipe("final_cifar")
    assert (ponas.network.cells, ponas.network.channels, ponas.epochs, ponas.batch) == (6, 16, 10, 576)
    assert ponas.learning_rate_in(0) == 0.1
    assert ponas.learning_rate_in(5) == pytest.approx(0.0525)  # half way of a cosine from 0.1 to 0.005
    assert ponas.drop_path_in(9) == pytest.approx(0.18)
    assert (cifar.epochs, cifar.network.auxiliary, cifar.augmentation.cutout, cifar.network.drop_path) == (
        600,
        True,
        16,
        0.2,
    )
    imagenet = recipes.recipe("final_imagenet")
    assert [imagenet.learning_rate_in(e) for e in range(5)] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25])
    assert imagenet.learning_rate_in(249) == pytest.approx(0.25 / 245)


def test_wrong_settings_are_named():
    with raised(UnknownNameError, name="pona", suggestion="ponas"):
        recipes.recipe("pona")
    with raised(ConfigError, "'epochs'", key="recipe.epoch", value=3):
        recipes.recipe("ponas", {"epoch": 3})
    with raised(ConfigError, key="recipe.network.channels", value=0):
        recipes.recipe("ponas", {"network": {"channels": 0}})
    assert recipes.recipe("ponas", {"network": {"channels": 4}}).network.cells == 6


# -- one training -------------------------------------------------------------------------------------------------


def test_the_loop_is_plain_sgd(monkeypatch):
    """Step by step beside torch's own optimiser: loss with smoothing and auxiliary head, clipping, cosine."""
    recipe = tiny_recipe(label_smoothing=0.1, clip=0.5, final_learning_rate=0.01)
    data = toy_data(recipe)
    one = trainer(recipe, network=small(auxiliary=True), data=data)
    seeds, paths = [], []
    monkeypatch.setattr(trainers, "reseed", lambda device, seed: paths.append(seed) or reseed(device, seed))
    shuffled = data.train.shuffled
    data.train.shuffled = lambda batch, seed: seeds.append(seed) or shuffled(batch, seed)
    result = one.run()

    network = small(auxiliary=True)
    optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=3e-4)
    losses = []
    with torch.random.fork_rng(devices=[]):
        for epoch, (seed, path) in enumerate(zip(seeds, paths, strict=True)):
            torch.manual_seed(path)
            for group in optimiser.param_groups:
                group["lr"] = 0.01 + 0.04 * (1 + math.cos(math.pi * epoch / 3)) / 2
            network.train()
            total = 0.0
            for x, y in shuffled(20, seed):
                optimiser.zero_grad()
                main, side = network(x)
                loss = functional.cross_entropy(main, y, label_smoothing=0.1)
                loss = loss + 0.4 * functional.cross_entropy(side, y, label_smoothing=0.1)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 0.5)
                optimiser.step()
                total += float(loss.detach()) * len(y)
            losses.append(total / 60)
    assert len({*seeds, *paths}) == 6
    assert [r.train_loss for r in result.curve] == pytest.approx(losses, rel=1e-5)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(one.weights()["last"][name], value)


def test_it_learns():
    recipe = tiny_recipe(epochs=25, learning_rate=0.3, weight_decay=0.0)
    result = trainer(recipe).run()
    assert result.last > 60
    assert result.test_last > 60
    assert result.curve[-1].train_loss < result.curve[0].train_loss / 1.5
    assert result.best.validation == max(r.validation for r in result.curve)
    assert TrainingResult.from_dict(result.to_dict()) == result


def test_nothing_is_left_in_torch():
    state = torch.random.get_rng_state()
    trainer(tiny_recipe(deterministic=True, epochs=1)).run()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_float32_matmul_precision() == "highest"
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with pytest.raises(KeyError):
        _interrupted()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.backends.cudnn.deterministic


def _interrupted():
    with isolated(CPU, deterministic=True, tf32=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        reseed(CPU, 3)
        raise KeyError


def test_seeds_decide_everything():
    first, again, other = trainer(seed=1), trainer(seed=1), trainer(seed=2)
    torch.manual_seed(5)  # whatever the caller does
    results = [t.run() for t in (first, again, other)]
    same(first.weights(), again.weights())
    assert timeless(results[0]) == timeless(results[1]) != timeless(results[2])


def test_without_validation_images():
    result = trainer(tiny_recipe(validation=0.0)).run()
    assert (result.last, result.best, result.test_best) == (None, None, None)
    assert result.test_last is not None


def test_the_test_images_are_looked_at_once():
    recipe = tiny_recipe(keep_best=True, epochs=4, learning_rate=0.5)
    data = toy_data(recipe)
    opened = []
    test = data.test
    object.__setattr__(data, "test", lambda: opened.append(1) or test())
    one = trainer(recipe, data=data)
    result = one.run()
    assert opened == [1]
    assert set(one.weights()) == {"last", "best"}
    network = small()
    network.load_state_dict(one.weights()["best"])
    assert one.measure(test(), network) == result.test_best
    assert one.measure(data.validation, network) == result.best.validation


def test_the_moving_average_is_what_counts():
    recipe = tiny_recipe(ema=0.9)
    one = trainer(recipe)
    averages = {name: value.clone() for name, value in one.network.state_dict().items()}
    step = one._step
    started = []

    def stepped(*arguments):
        found = step(*arguments)
        for name, value in one.network.state_dict().items():
            if value.is_floating_point():
                # The first update copies.
                averages[name] = value.clone() if not started else 0.9 * averages[name] + 0.1 * value
        started.append(1)
        return found

    one._step = stepped
    one.run()
    for name, value in one.weights()["last"].items():
        if value.is_floating_point():
            torch.testing.assert_close(value, averages[name])


class Strided(nn.Module):
    """A 1 × 1 convolution with a stride behind another one."""

    def __init__(self, channels, outputs, kernel=1, stride=2):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.reduce = nn.Conv2d(channels, outputs, kernel, stride)
        self.classifier = nn.Linear(outputs, 10)

    def forward(self, x):
        return self.classifier(self.reduce(torch.relu(self.stem(x))).mean((2, 3)))


class Functional(nn.Module):
    """The same layer from a bare weight, whose stride no module tells."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, channels, 1, 1))

    def forward(self, x):
        return functional.conv2d(x, self.weight, stride=2)


@pytest.mark.parametrize("channels", [2, 3, 7, 8, 16])
def test_channels_last_on_a_cpu_only_where_its_kernels_are_right(channels):
    safe = channels >= 8
    assert safe_in_channels_last(Strided(channels, 1)) is safe
    assert safe_in_channels_last(nn.Sequential(Functional(channels))) is safe
    assert safe_in_channels_last(Strided(channels, 1, stride=1))
    assert safe_in_channels_last(Strided(channels, 1, kernel=3))
    network = Strided(channels, 1)
    assert Precision.of(tiny_recipe(), CPU, network).channels_last is safe
    assert Precision.of(tiny_recipe(precision="fp32"), torch.device("cuda"), network).channels_last
    assert not Precision.of(tiny_recipe(channels_last=False), CPU, network).channels_last


_CORNER = """
import torch
from tests.training.test_trainer import Strided, tiny_recipe, trainer
for channels in range(1, 10):
    for outputs in (1, 2, 8):
        trainer(tiny_recipe(epochs=1), network=Strided(channels, outputs)).run()
print("trained")
"""


def test_convolutions_that_the_kernels_of_avx2_get_wrong():
    """In a process of its own, for writing past the end of the heap ends it; the kernels of one thread do it."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _CORNER], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=240
    )
    assert (done.returncode, done.stdout.strip()) == (0, "trained"), done.stderr


def test_half_precision_and_channels_last():
    for changes in ({"precision": "bf16"}, {"channels_last": False}, {"precision": "bf16", "channels_last": False}):
        plain, changed = trainer().run(), trainer(tiny_recipe(**changes)).run()
        assert [r.train_loss for r in changed.curve] == pytest.approx([r.train_loss for r in plain.curve], rel=0.05)
        if "precision" in changes:
            assert timeless(changed) != timeless(plain)


@pytest.mark.slow
def test_a_compiled_network_is_trained_alike(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    recipe = tiny_recipe(ema=0.9)
    plain, compiled = trainer(recipe), trainer(recipe.model_copy(update={"compile": True}))
    assert timeless(plain.run()) == timeless(compiled.run())
    first, second = plain.weights()["last"], compiled.weights()["last"]
    assert all(torch.equal(first[name], second[name]) for name in first)


# -- killed and gone on -------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What a signal does."""


def killer(epoch):
    def kill(record):
        if record.epoch == epoch:
            raise Killed

    return kill


@pytest.mark.parametrize("changes", [{}, {"ema": 0.5, "keep_best": True}, {"momentum": 0.0, "precision": "bf16"}])
def test_killed_and_resumed_is_never_killed(tmp_path, changes):
    recipe = tiny_recipe(epochs=5, augmentation={"crop": 1, "flip": True, "cutout": 2}, **changes)
    whole = trainer(recipe)
    expected = whole.run()
    # In the middle of the third epoch, then after the fourth.
    steps = []
    broken = trainer(recipe, folder=tmp_path, network=small(fail=lambda x: steps.append(1) or _raise_at(steps, 8)))
    with pytest.raises(Killed):
        broken.run()
    assert (tmp_path / "curve.jsonl").read_text().count("\n") == 2
    seen = []
    again = trainer(recipe, folder=tmp_path, on_epoch=lambda r: seen.append(r.epoch) or killer(4)(r))
    with pytest.raises(Killed):
        again.run()
    assert seen == [1, 2, 3, 4]
    last = trainer(recipe, folder=tmp_path)
    result = last.run()
    same(last.weights(), whole.weights())
    assert timeless(result) == timeless(expected)
    assert (result.test_last, result.test_best) == (expected.test_last, expected.test_best)
    # And once more, when there is nothing left to train.
    assert timeless(trainer(recipe, folder=tmp_path).run()) == timeless(expected)


def _raise_at(steps, number):
    if len(steps) == number:
        raise Killed


def test_a_part_of_the_recipe_goes_on_later(tmp_path):
    recipe = tiny_recipe(epochs=4)
    part = trainer(recipe, folder=tmp_path).run(2)
    assert len(part.curve) == 2
    rest = trainer(recipe, folder=tmp_path).run()
    assert timeless(rest) == timeless(trainer(recipe).run())


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other"])
def test_a_checkpoint_that_cannot_be_used(tmp_path, damage):
    trainer(folder=tmp_path).run(1)
    path = tmp_path / "checkpoint.pt"
    data = path.read_bytes()
    if damage != "other":
        path.write_bytes({"cut": data[: len(data) // 2], "text": b"no checkpoint", "empty": b""}[damage])
    with raised(TrainingCheckpointError, path=path) as caught:
        trainer(folder=tmp_path, seed=2 if damage == "other" else 1).run()
    assert (caught.value.__cause__ is None) == (damage == "other")


def test_a_full_disk_costs_checkpoints_and_nothing_else(tmp_path, monkeypatch):
    expected = trainer().run()
    save, calls = trainers.save, []

    def full(path, value):
        calls.append(path)
        if len(calls) == 2:
            from po_nas.errors import TrainingStorageError

            raise TrainingStorageError(path, os.strerror(errno.ENOSPC))
        save(path, value)

    monkeypatch.setattr(trainers, "save", full)
    result = trainer(folder=tmp_path).run()
    assert timeless(result) == timeless(expected)
    assert result.failed_checkpoints == 1
    # The last one is whole.
    assert timeless(trainer(folder=tmp_path).run()) == timeless(expected)


def test_the_disk_refuses_in_the_middle_of_a_file(tmp_path, monkeypatch):
    """What was there before stays, and no half-written file does."""
    trainer(folder=tmp_path).run(1)
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    result = trainer(folder=tmp_path).run()
    assert len(result.curve) == 3
    assert result.failed_checkpoints == 4  # two checkpoints and two curves
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "curve.jsonl"]


# -- what else goes wrong -----------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite():
    with raised(LossNotFiniteError, epoch=1):
        trainer(tiny_recipe(learning_rate=1e30, clip=None)).run()


def limited(images):
    """A network on a device with memory for so many images."""

    def fail(x):
        if len(x) > images:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    return small(fail=fail)


def test_too_little_memory_cuts_batches_into_parts(tmp_path):
    result = trainer(network=limited(6), folder=tmp_path).run()
    assert [r.parts for r in result.curve] == [4, 4, 4]
    assert result.to_dict()["parts"] == 4
    # The same as a training that was cut from the beginning.
    other = trainer(network=limited(6))
    other._parts = 4
    assert timeless(other.run()) == timeless(result)
    with raised(TrainingMemoryError, "recipe.batch", batch=20, parts=8):
        trainer(network=limited(1)).run()
    with raised(TrainingMemoryError, parts=2):
        trainer(tiny_recipe(parts=2), network=limited(6)).run()


def test_memory_that_runs_out_later_goes_back_one_epoch(tmp_path):
    steps = []

    def fail(x):
        steps.append(len(x))
        if len(steps) == 5 and len(x) == 20:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    result = trainer(network=small(fail=fail), folder=tmp_path).run()
    assert [r.parts for r in result.curve] == [1, 2, 2]
    # Without a folder it begins again.
    steps.clear()
    assert [r.parts for r in trainer(network=small(fail=fail)).run().curve] == [2, 2, 2]


def test_gradients_of_parts_add_up():
    """Without batch normalisation, parts change nothing but rounding."""

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3 * 64, 10)

        def forward(self, x):
            return self.layer(x.flatten(1))

    def plain():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Plain()

    whole, parts = trainer(network=plain()), trainer(network=plain())
    parts._parts = 3
    whole.run()
    parts.run()
    for name, value in whole.weights()["last"].items():
        torch.testing.assert_close(parts.weights()["last"][name], value)


def test_devices():
    assert chosen_device("cpu") == CPU
    assert chosen_device("auto").type in {"cpu", "cuda"}
    for name in ("cuda:99", "gpu", "meta"):
        with raised(ConfigError, key="device", value=name):
            chosen_device(name)
