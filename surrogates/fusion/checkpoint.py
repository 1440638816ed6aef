"""Pre-trained encoders in files, each known by everything that made it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from po_nas.errors import CheckpointError
from po_nas.files import replace_file
from po_nas.switches import default_switches
from surrogates.encodings import Encodings, Shape
from surrogates.fusion.pretraining import Pretrained, PretrainingModel, pretrain
from surrogates.fusion.settings import PretrainingSettings

__all__ = ["fingerprint", "load", "load_or_pretrain", "save"]

_FORMAT = 1
_KEY_LENGTH = 32
"""Hexadecimal digits of the fingerprint in a file's name."""


def fingerprint(inputs: Encodings, scores: torch.Tensor, settings: PretrainingSettings, seed: int) -> str:
    """A sha256 in hexadecimal of all that decides an encoder: data, settings, seed, versions of this and of torch."""
    try:
        own = version("po-nas")
    except PackageNotFoundError:
        own = "source"
    known = {"format": _FORMAT, "version": own, "torch": torch.__version__, "settings": asdict(settings), "seed": seed}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for tensor in (inputs.nodes, inputs.adjacency, inputs.edges, inputs.mask, scores):
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(pretrained: Pretrained, path: Path, key: str = "") -> None:
    """Write an encoder to a file, at once or not at all, with the fingerprint `key` of what made it."""
    payload = {
        "format": _FORMAT,
        "key": key,
        "shape": list(pretrained.shape),
        "proxies": pretrained.model.score_scale.shape[1],
        "settings": asdict(pretrained.settings),
        "error": pretrained.error,
        "state": {name: tensor.cpu() for name, tensor in pretrained.model.state_dict().items()},
    }
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    replace_file(path, buffer.getvalue())


@default_switches()
def load(path: Path, key: str | None = None) -> Pretrained:
    """Read an encoder, onto the CPU; with a `key`, one of that fingerprint alone.

    Raises `CheckpointError` for a file that is missing, damaged, of another format or of another fingerprint.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if found["format"] != _FORMAT or (key is not None and found["key"] != key):
            raise CheckpointError(path, "was made from other data or by another version")
        settings = PretrainingSettings(**found["settings"])
        shape = Shape(*found["shape"])
        # Version 0.1 called proxies metrics.
        proxies = found["proxies"] if "proxies" in found else found["metrics"]
        state = {"score_scale" if name == "metrics" else name: tensor for name, tensor in found["state"].items()}
        model = PretrainingModel(shape, proxies, width=settings.width, heads=settings.heads)
        model.load_state_dict(state)
        model.eval().requires_grad_(False)
        return Pretrained(model, shape, settings, found["error"])
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(path, f"is no checkpoint of an encoder ({error})") from error


def load_or_pretrain(
    directory: str | Path,
    inputs: Encodings,
    scores: torch.Tensor,
    settings: PretrainingSettings | None = None,
    seed: int = 0,
) -> Pretrained:
    """The encoder that `pretrain` would make, from a file of the directory where there is a sound one for these inputs.

    What was computed is left there for next time; a damaged file is replaced.
    """
    settings = settings or PretrainingSettings()
    key = fingerprint(inputs, scores, settings, seed)
    path = Path(directory) / f"encoder-{key[:_KEY_LENGTH]}.pt"
    if path.is_file():
        try:
            return load(path, key)
        except CheckpointError:
            path.unlink(missing_ok=True)
    made = pretrain(inputs, scores, settings, seed)
    save(made, path, key)
    return made
