"""``po-nas train`` and ``po-nas export`` of what it made."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import po_nas
from po_nas import spaces
from po_nas.commands.app import app
from po_nas.errors import (
    ConfigError,
    InvalidArchitectureError,
    RunDirectoryError,
    TrainingCheckpointError,
    TrainingStorageError,
)
from po_nas.training.data import image_set, open_data
from po_nas.training.export import load_network, read_weights
from po_nas.training.recipe import recipe
from tests.errors import check

CELL = spaces.get("darts").sample(np.random.default_rng(0))
GENOTYPE = spaces.get("darts").to_string(CELL)
CHANGES = ("changes.network.channels=8", "changes.network.cells=2", "changes.epochs=3", "changes.batch=50")
SMALL = ("dataset=digits", "samples=150", *CHANGES)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(*arguments):
    result = invoke(*arguments)
    assert isinstance(result.exception, po_nas.PoNasError), result.output
    assert "\n" not in str(result.exception)
    return result.exception


def trained(folder, *more):
    result = invoke("train", *SMALL, *more, "--genotype", GENOTYPE, "--out", folder)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "it"
    return folder, trained(folder, "changes.keep_best=true", "tensorboard=true")


def test_a_training(finished):
    folder, result = finished
    assert "epoch 3/3" in result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    record = json.loads((folder / "result.json").read_text())
    for split, which in (("validation", "last"), ("test", "last"), ("test", "best")):
        printed = [value for name, value in rows if name.startswith(f"{split}, {which}")]
        assert printed == [f"{record[f'{split}_{which}']:.2f} %"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.yaml", "curve.jsonl", "result.json", "tensorboard", "weights.pt",
    ]  # fmt: skip
    assert [json.loads(line)["epoch"] for line in (folder / "curve.jsonl").read_text().splitlines()] == [1, 2, 3]
    # Once more: nothing is trained, the same is said.
    again = trained(folder, "changes.keep_best=true", "tensorboard=true")
    assert again.stdout == result.stdout
    assert "epoch 3/3" not in again.stderr
    check(refused("train", *SMALL, "--genotype", GENOTYPE, "--out", folder), key="out", value=folder)


def test_exported_weights_are_the_trained_ones(finished, tmp_path):
    folder, _ = finished
    record = json.loads((folder / "result.json").read_text())
    assert invoke("export", folder, "--format", "torch", "-o", tmp_path / "network.pt").exit_code == 0
    data = open_data(
        image_set("digits"), None, recipe("digits", {"batch": 50}), device=torch.device("cpu"), samples=150
    )
    for source, which, expected in (
        (tmp_path / "network.pt", None, "test_best"),
        (folder / "weights.pt", "best", "test_best"),
        (folder / "weights.pt", "last", "test_last"),
    ):
        network = load_network(source, which)
        assert not network.training
        with torch.no_grad():
            right = sum(int((network(x).argmax(1) == y).sum()) for x, y in data.test().in_order(100))
        assert 100 * right / 359 == pytest.approx(record[expected])
    assert list(read_weights(tmp_path / "network.pt")["weights"]) == ["best"]


def test_exported_text(finished, tmp_path):
    folder, _ = finished
    assert invoke("export", folder, "--format", "genotype").stdout == GENOTYPE + "\n"
    found = json.loads(invoke("export", folder).stdout)
    space = spaces.get("darts")
    assert space.from_json({k: found[k] for k in ("space", "code")}) == CELL
    assert found["test_last"] == json.loads((folder / "result.json").read_text())["test_last"]
    # A file that export wrote is a genotype for the next training.
    (tmp_path / "cell.json").write_text(json.dumps(found))
    (tmp_path / "cell.txt").write_text(GENOTYPE + "\n")
    for name in ("cell.json", "cell.txt"):
        settings = (
            *SMALL,
            "changes.epochs=1",
            "--genotype",
            tmp_path / name,
            "--out",
            tmp_path / f"{name}.out",
            "--quiet",
        )
        result = invoke("train", *settings)
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads((tmp_path / f"{name}.out/result.json").read_text())["string"] == GENOTYPE


@pytest.mark.slow
def test_onnx_computes_the_same(finished, tmp_path):
    import onnxruntime

    folder, _ = finished
    path = tmp_path / "network.onnx"
    result = invoke("export", folder, "--format", "onnx", "-o", path)
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "best" in result.stderr
    network = load_network(folder / "weights.pt")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        images = torch.randn(batch, 3, 8, 8)
        (found,) = session.run(["logits"], {"images": images.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, network(images).numpy(), rtol=1e-3, atol=1e-4)


def test_the_winner_of_a_search(tmp_path):
    training = {"recipe": {"network": {"channels": 8, "cells": 2}, "epochs": 1, "batch": 50}, "samples": 150}
    found = po_nas.search(
        benchmark="train/darts/digits", method="random", budget=2, training=training, out=tmp_path / "run"
    )
    settings = (*SMALL, "changes.epochs=1", "--run", tmp_path / "run", "--out", tmp_path / "it")
    assert invoke("train", *settings).exit_code == 0
    assert json.loads((tmp_path / "it/result.json").read_text())["string"] == found.incumbent
    # Without a training of its own the network has initial weights, and says so.
    result = invoke("export", tmp_path / "run", "--format", "torch", "-o", tmp_path / "initial.pt")
    assert "untrained" in result.stderr
    assert "seed 0" in result.stderr
    assert load_network(tmp_path / "initial.pt")(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_wrong_input_is_one_line(tmp_path):
    out = ("--out", tmp_path / "it")
    assert isinstance(refused("train", *SMALL, "--genotype", "Genotype(normal=[])", *out), InvalidArchitectureError)
    error = refused("train", *SMALL, "--genotype", GENOTYPE.replace("conv", "konv"), *out)
    check(error, "konv_3x3", space="darts")
    check(refused("train", *SMALL, "--genotype", "no-such-file", *out), space="darts", value="no-such-file")
    check(refused("train", *SMALL, *out), key="genotype", value="")
    check(refused("train", "dataset=digit", "--genotype", GENOTYPE, *out), name="digit", suggestion="digits")
    check(refused("train", *SMALL, "recipe=digitz", "--genotype", GENOTYPE, *out), name="digitz", suggestion="digits")
    error = refused("train", *SMALL, "changes.epoch=1", "--genotype", GENOTYPE, *out)
    check(error, "'epochs'", key="changes.epoch", value=1)
    error = refused("train", *SMALL, "--genotype", GENOTYPE, "--run", tmp_path, *out)
    check(error, "--genotype", "--run", key="genotype", value=GENOTYPE)
    assert isinstance(refused("train", "--run", tmp_path, *out), RunDirectoryError)
    check(refused("train", "dataset=cifar10", "--genotype", GENOTYPE, *out), "training.data=DIR", dataset="cifar10")
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    check(refused("train", *SMALL, "--genotype", bad, *out), key="genotype", value=bad)
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.json"]


def test_onnx_without_its_packages(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = refused("export", finished[0], "--format", "onnx", "-o", tmp_path / "x.onnx")
    check(error, "pip install 'po-nas[onnx]'", extra="onnx")


def test_what_cannot_be_exported(tmp_path, finished):
    folder, _ = finished
    assert isinstance(refused("export", folder, "--format", "onnx"), ConfigError)
    run = po_nas.search(benchmark="nasbench201/cifar10", method="random", budget=1, out=tmp_path / "run")
    error = refused("export", run.directory, "--format", "torch", "-o", tmp_path / "x.pt")
    check(error, "darts", key="format", value="nasbench201")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "weights.pt").write_bytes(b"torn")
    error = refused("export", broken, "--format", "torch", "-o", tmp_path / "x.pt")
    assert isinstance(error, TrainingCheckpointError)
    error = refused("export", folder, "--format", "torch", "-o", "/dev/null/x.pt")
    assert isinstance(error, TrainingStorageError)
    assert not (tmp_path / "x.pt").exists()


def test_a_full_disk_at_the_end_loses_nothing(tmp_path, monkeypatch):
    """The weights cannot be written; the checkpoint is there, and the same command ends the training."""
    from po_nas.training import final

    trained(tmp_path / "whole")

    def full(path, value):
        raise TrainingStorageError(path, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(final, "save", full)
        error = refused("train", *SMALL, "--genotype", GENOTYPE, "--out", tmp_path / "it")
    assert isinstance(error, TrainingStorageError)
    check(error, path=tmp_path / "it" / "weights.pt", reason=os.strerror(errno.ENOSPC))
    trained(tmp_path / "it")
    _same_weights(tmp_path / "it", tmp_path / "whole")


def _same_weights(first: Path, second: Path):
    one, other = (read_weights(folder / "weights.pt")["weights"]["last"] for folder in (first, second))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_killed_and_resumed_from_the_command_line(tmp_path):
    settings = (*SMALL, "changes.epochs=40", "changes.network.drop_path=0.2", "--genotype", GENOTYPE)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    program = "import torch; torch.set_num_threads(1); from po_nas.commands.app import main; main()"
    command = [sys.executable, "-c", program, "train", *settings, "--out"]
    process = subprocess.Popen([*command, str(broken)], stderr=subprocess.DEVNULL)
    curve, deadline = broken / "curve.jsonl", time.monotonic() + 120
    while not (curve.exists() and curve.read_text().count("\n") >= 5):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (broken / "weights.pt").exists()
    for folder in (broken, whole):
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
    _same_weights(broken, whole)


def test_benchmarks_that_train_are_described():
    rows = dict(line.split("\t") for line in invoke("benchmarks", "describe", "train/darts/digits").stdout.splitlines())
    assert rows["recipe.network.cells"] == "3"
    assert "25 %" in rows["split"]
    as_json = json.loads(invoke("benchmarks", "describe", "train/darts/digits", "--json").stdout)
    assert as_json["recipe"]["network"]["channels"] == 8
    check(refused("benchmarks", "describe", "train/darts/cifar10"), "training.data=DIR", dataset="cifar10")
    listed = invoke("benchmarks", "list", "train/*").stdout.splitlines()
    name, feedback, needs = listed[1].split("\t")[:3]
    assert (name, feedback.split(", "), needs.split(", ")) == (
        "train/darts/cifar10",
        ["ponas", "pwlnas"],
        ["images", "training"],
    )
