"""The network that is trained: its options from recipe and data, and whether it can be trained at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from po_nas.core.settings import renamed
from po_nas.errors import ConfigError, NetworkOutputError, PoNasError, hint
from po_nas.networks.base import OLD_OPTIONS, Networks
from po_nas.proxy_scores.own_networks import declared_space
from po_nas.spaces.base import Space
from po_nas.spaces.networks import networks_of, registry
from po_nas.training.data.opened import Shape
from po_nas.training.recipe import Recipe
from po_nas.training.task import Task

__all__ = ["check_trainable", "current", "network_options"]

PREFIX = "recipe.network."
_PROBED = 3


def current(options: Mapping[str, Any], space: Space, *, auxiliary: bool = False) -> dict[str, Any]:
    """Options that were kept with weights, as networks of this version take them, with or without auxiliary head."""
    found = renamed(options, OLD_OPTIONS, warn=False)
    return found | ({"auxiliary": auxiliary} if "auxiliary" in space.network_options else {})


def network_options(
    space: Space,
    recipe: Recipe,
    told: Mapping[str, Any],
    *,
    auxiliary: bool = True,
    data: str = "the data",
    prefix: str = PREFIX,
) -> dict[str, Any]:
    """Options of the network for ``space.build``.

    Args:
        space: The space.
        recipe: Its `network` has options by name.
        told: What is known of the data, such as ``num_classes`` and ``in_channels``. A network that does not take one
            of them is built without it; what the recipe says goes before it.
        auxiliary: False leaves the head out that training alone uses.
        data: What the data are called in messages.
        prefix: What is put before keys in messages.

    Raises:
        ConfigError: For an option that the networks of the space do not have, and an auxiliary head that they do not
            have, or that images are too small for.
    """
    known, shape = space.network_options, recipe.network
    for name, value in shape.options.items():
        if name not in known:
            listed = f"options of {space.name} networks: {', '.join(known) or 'none'}"
            raise ConfigError(prefix + name, value, f"unknown key; {hint(name, known, listed)}")
    # Networks that somebody registered may have an option by its old name.
    was = {new: old for old, new in OLD_OPTIONS.items()}
    given = {name if name in known else was.get(name, name): value for name, value in told.items()}
    found = {name: value for name, value in given.items() if name in known} | shape.options
    if shape.auxiliary and "auxiliary" not in known:
        raise ConfigError(f"{prefix}auxiliary", True, f"networks of {space.name} have no auxiliary head")
    if "auxiliary" in known:
        found["auxiliary"] = shape.auxiliary and auxiliary
    networks = None if declared_space(space) is not None else networks_of(space.name)
    size = told.get("image_size")
    if isinstance(networks, Networks) and isinstance(size, int):
        least = networks.smallest(found)
        if size < least:
            key = f"{prefix}auxiliary" if shape.auxiliary else "images"
            raise ConfigError(key, shape.auxiliary or size, f"needs {least} pixels, images of {data} have {size}")
    return found


def check_trainable(
    space: Space,
    recipe: Recipe,
    options: Mapping[str, Any],
    task: Task,
    sample: Shape,
    targets: Shape,
    *,
    prefix: str = PREFIX,
) -> None:
    """Build a network and put made-up samples through it; nothing is trained.

    Networks of up to three architectures are built until one works. Those of this package are built without memory, and
    are known to take images.

    Args:
        space: The space.
        recipe: The recipe.
        options: Of `network_options`.
        task: What outputs are.
        sample: Shape and type of a sample.
        targets: The same of a target.
        prefix: What is put before keys in messages.

    Raises:
        ConfigError: When networks cannot be built with these options, do not take such samples, return something else
            than the task needs, or have no drop path where the recipe wants some.
        DeclarationError: For a declared space whose networks cannot be built.
    """
    rng = np.random.default_rng(0)
    # Other people's networks need not work without memory.
    ours = declared_space(space) is None and registry.entry(space.name).origin == "po-nas"
    if ours and ("in_channels" not in space.network_options or len(sample[0]) != 3):
        taken = "images" if "in_channels" in space.network_options else "graphs"
        raise ConfigError("space", space.name, _refused(sample, f"they take {taken}"))
    device = "meta" if ours else "cpu"
    problem: ConfigError | None = None
    for _ in range(1 if ours else _PROBED):
        try:
            network = space.build(space.sample(rng), device=device, **options)
        except ConfigError as error:
            raise ConfigError(prefix + error.key, error.value, error.remedy) from error
        except PoNasError:
            raise
        except Exception as error:
            problem = ConfigError("space", space.name, f"its network raises {_line(error)}")
            continue
        if recipe.network.drop_path and not callable(getattr(network, "set_drop_path", None)):
            remedy = f"networks of {space.name} have no method set_drop_path(probability)"
            raise ConfigError(f"{prefix}drop_path", recipe.network.drop_path, remedy)
        if ours:
            return
        x = torch.zeros((2, *sample[0]), dtype=sample[1])
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                network.train()
                outputs = network(x)
            outputs = outputs[0] if isinstance(outputs, tuple) and len(outputs) == 2 else outputs
            if not isinstance(outputs, torch.Tensor):
                raise NetworkOutputError(f"a {type(outputs).__name__}", "a tensor, or in training mode a pair of them")
            task.check(outputs, torch.zeros((2, *targets[0]), dtype=targets[1]))
        except NetworkOutputError as error:
            problem = ConfigError("space", space.name, str(error))
        except Exception as error:
            problem = ConfigError("space", space.name, _refused(sample, _line(error)))
        else:
            return
    assert problem is not None
    raise problem


def _refused(sample: Shape, reason: str) -> str:
    return f"its networks do not take samples of {' × '.join(map(str, sample[0])) or 'one number'}: {reason}"


def _line(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__} ({first})" if first else type(error).__name__
