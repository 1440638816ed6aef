"""One network of a space with a batch that it takes, for verbs that look at networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from po_nas.errors import ConfigError

if TYPE_CHECKING:
    from torch.nn import Module

    from proxies import Batch

__all__ = ["SIZE", "ExampleNetwork", "example_network", "read_batch"]

SIZE = "height and width of made-up images, pixels; default: what the space says"
"""Help of an option."""


class ExampleNetwork(NamedTuple):
    """An architecture as text, its network, and a batch."""

    architecture: str
    network: Module
    batch: Batch


def example_network(
    space: str,
    architecture: str,
    *,
    samples: int,
    size: int | None = None,
    data: Path | None = None,
    options: list[str] | None = None,
    seed: int = 0,
) -> ExampleNetwork:
    """The freshly initialised network of an architecture, and a batch.

    Args:
        space: Its name.
        architecture: As text, or ``random``.
        samples: Of the batch, unless the space brings one of its own.
        size: Height and width of images that are made up, pixels; default: what the space says.
        data: A file with the batch in its place.
        options: ``key=value`` of the network.
        seed: Of the weights, of what is made up, and of a random architecture.

    Raises `ConfigError` for a size where inputs are not made up, and for a file that is no batch.
    """
    import numpy as np

    from po_nas import spaces
    from po_nas.core.settings import read_settings
    from po_nas.networks.base import Networks, current_options
    from po_nas.proxy_scores.own_networks import declared_space
    from po_nas.spaces.networks import networks_of

    found = spaces.get(space)
    drawn = found.sample(np.random.default_rng(seed)) if architecture == "random" else found.from_string(architecture)
    networks = None if declared_space(found) is not None else networks_of(space)
    chosen = current_options(read_settings(None, tuple(options or ())), found.network_options)
    told: Mapping[str, Any] = {}
    if data is not None:
        batch = read_batch(data, samples)
    else:
        takes = networks.task_options if isinstance(networks, Networks) else frozenset[str]()
        if size is not None and "size" not in takes:
            raise ConfigError("size", size, f"is not to be chosen: networks of {space} bring inputs of their own")
        task = chosen if size is None else {**chosen, "size": size}
        told, batch = found.example_inputs(samples, seed, **{k: v for k, v in task.items() if k in takes})
    network = found.build(drawn, seed=seed, **{**told, **chosen})
    return ExampleNetwork(found.to_string(drawn), network, batch)


def read_batch(path: Path, samples: int) -> Batch:
    """The first `samples` of the ``inputs`` and ``labels`` of an .npz file."""
    import numpy as np
    import torch

    from proxies import Batch

    try:
        with np.load(path, allow_pickle=False) as content:
            inputs, labels = content["inputs"][:samples], content["labels"][:samples]
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError("data", path, f"must be an .npz file with inputs and labels ({error})") from error
    for name, array, kinds in (("inputs", inputs, "fiub"), ("labels", labels, "iu")):
        if array.dtype.kind not in kinds:
            remedy = f"its {name} are of the type {array.dtype}, not {'whole ' if kinds == 'iu' else ''}numbers"
            raise ConfigError("data", path, remedy)
    return Batch.of((torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(labels.astype(np.int64))))
