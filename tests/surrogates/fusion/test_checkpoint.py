"""Checkpoints: what makes a new one, and files that are not sound."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from po_nas.errors import CheckpointError
from surrogates.fusion import checkpoint
from surrogates.fusion.checkpoint import fingerprint, load, load_or_pretrain, save
from surrogates.fusion.pretraining import pretrain
from surrogates.fusion.settings import PretrainingSettings
from tests.errors import raised

from .conftest import encodings, uniform

SMALL = PretrainingSettings(epochs=1, width=4)


def test_a_file_is_the_encoder(tmp_path):
    inputs = encodings()
    made = pretrain(inputs, uniform(60, 2), SMALL, 0)
    save(made, tmp_path / "deep" / "a.pt")
    read = load(tmp_path / "deep" / "a.pt")
    assert torch.equal(read.embed(inputs).nodes, made.embed(inputs).nodes)
    assert torch.equal(read.predict_scores(inputs), made.predict_scores(inputs))
    assert (read.settings, read.shape, read.error) == (made.settings, made.shape, made.error)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.pt"]


def test_the_fingerprint_is_of_everything():
    inputs, metrics = encodings(), uniform(60, 2)
    moved = metrics.clone()
    moved[5, 1] = torch.nan
    prints = {
        fingerprint(inputs, metrics, SMALL, 0),
        fingerprint(inputs, metrics, SMALL, 1),
        fingerprint(inputs, metrics, replace(SMALL, masked=0.1), 0),
        fingerprint(inputs, moved, SMALL, 0),
        fingerprint(replace(inputs, nodes=inputs.nodes + 1), metrics, SMALL, 0),
        fingerprint(replace(inputs, edges=inputs.edges.flip(0)), metrics, SMALL, 0),
    }
    assert len(prints) == 6
    assert fingerprint(encodings(), uniform(60, 2), SMALL, 0) in prints


def test_only_the_same_is_reused(tmp_path, monkeypatch):
    inputs, metrics = encodings(), uniform(60, 2)
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return pretrain(*arguments)

    monkeypatch.setattr(checkpoint, "pretrain", counted)
    first = load_or_pretrain(tmp_path, inputs, metrics, SMALL, 0)
    again = load_or_pretrain(tmp_path, inputs, metrics, SMALL, 0)
    assert len(calls) == 1
    assert torch.equal(first.embed(inputs).pooled, again.embed(inputs).pooled)
    load_or_pretrain(tmp_path, inputs, metrics, SMALL, 1)
    assert len(calls) == 2

    # Torn, not a checkpoint, or under another's name: computed again, and sound afterwards.
    path = next(path for path in tmp_path.iterdir() if fingerprint(inputs, metrics, SMALL, 0)[:32] in path.name)
    whole, other = path.read_bytes(), next(one for one in tmp_path.iterdir() if one != path)
    for count, content in enumerate((whole[: len(whole) // 2], b"", b"nonsense", other.read_bytes()), start=3):
        path.write_bytes(content)
        found = load_or_pretrain(tmp_path, inputs, metrics, SMALL, 0)
        assert len(calls) == count
        assert torch.equal(first.embed(inputs).pooled, found.embed(inputs).pooled)
        assert load(path, fingerprint(inputs, metrics, SMALL, 0))


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    made = pretrain(encodings(), uniform(60, 1), SMALL, 0)

    class DiskFullError(OSError):
        """What a full disk raises."""

    def fail(*_):
        raise DiskFullError

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(DiskFullError):
        save(made, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_loaded(tmp_path):
    with raised(CheckpointError, "nothing.pt", path=tmp_path / "nothing.pt"):
        load(tmp_path / "nothing.pt")
    save(pretrain(encodings(), uniform(60, 1), SMALL, 0), tmp_path / "a.pt", "key")
    with raised(CheckpointError, path=tmp_path / "a.pt") as caught:
        load(tmp_path / "a.pt", "another")
    assert caught.value.__cause__ is None
    torch.save({"format": 1}, tmp_path / "b.pt")
    with raised(CheckpointError, path=tmp_path / "b.pt") as caught:
        load(tmp_path / "b.pt")
    assert isinstance(caught.value.__cause__, KeyError)
