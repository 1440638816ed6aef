"""Networks as files: torch weights that can be loaded without running anything, and ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from po_nas import spaces
from po_nas.errors import MissingExtraError, TrainingCheckpointError
from po_nas.training.data import image_set
from po_nas.training.network import current, network_options
from po_nas.training.recipe import recipe
from po_nas.training.records import save, write

__all__ = ["NetworkFile", "load_network", "read_weights", "untrained", "write_onnx", "write_torch"]

NetworkFile = dict[str, Any]
"""``space``, ``string``, ``dataset``, ``network`` (options) and ``weights`` (state dictionaries by name)."""


def read_weights(path: Path) -> NetworkFile:
    """A file of weights that ``po-nas train`` or ``po-nas export --format torch`` wrote.

    Nothing in it is executed. Raises `TrainingCheckpointError` for a damaged file, and one that is none of these.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not all(key in found for key in ("space", "string", "dataset", "network", "weights")):
            raise KeyError(path.name)
    except Exception as error:
        # A torn file can make the reader stumble anywhere.
        raise TrainingCheckpointError(path, f"is no readable file of weights ({type(error).__name__})") from error
    return dict(found)


def untrained(space: str, string: str, dataset: str, recipe_name: str, changes: Mapping[str, Any]) -> NetworkFile:
    """The network of an architecture with initial weights of seed 0, in the size of a recipe."""
    found = spaces.get(space)
    options = network_options(
        found, recipe(recipe_name, changes, space=space), image_set(dataset).options, auxiliary=False
    )
    described: NetworkFile = {"space": space, "string": string, "dataset": dataset, "network": options}
    network = found.build(found.from_string(string), seed=0, **options)
    return described | {"weights": {"initial": network.state_dict()}}


def load_network(source: Path | NetworkFile, which: str | None = None) -> nn.Module:
    """The network of a file in evaluation mode, without the auxiliary head that training alone uses.

    `which` weights: ``best`` (by validation) where there are any, else ``last``, else ``initial``.
    """
    file = read_weights(source) if isinstance(source, Path) else source
    space = spaces.get(file["space"])
    options = current(file["network"], space)
    network: nn.Module = space.build(space.from_string(file["string"]), **options)
    weights = file["weights"][which or _first(file)]
    network.load_state_dict({k: v for k, v in weights.items() if not k.startswith("auxiliary")})
    return network.eval()


def _first(file: NetworkFile) -> str:
    return next(name for name in ("best", "last", "initial") if name in file["weights"])


def write_torch(path: Path, file: NetworkFile) -> str:
    """Write the network and the weights that count; says which those are. `load_network` reads it back."""
    which = _first(file)
    options = current(file["network"], spaces.get(file["space"]))
    save(path, file | {"network": options, "weights": {which: _state(file)}})
    return which


def _state(file: NetworkFile) -> dict[str, Tensor]:
    return dict(load_network(file).state_dict())


def write_onnx(path: Path, file: NetworkFile) -> str:
    """Write the network for normalised images (batch, 3, size, size), any batch size; says which weights those are.

    `MissingExtraError` without the packages of the extra ``onnx``.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("--format onnx", str(error.name), "onnx") from None
    network = load_network(file)
    size = image_set(file["dataset"]).size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, size, size),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    assert program is not None
    write(path, program.model_proto.SerializeToString())
    return _first(file)
