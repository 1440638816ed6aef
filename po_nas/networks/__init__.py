"""Torch networks of the search spaces: `build` makes the network of an architecture, `options` lists what it takes.

`Space.build` is the same. A plug-in registers the networks of its own space under the space's name: a class or function
called as ``network(architecture, **options)``, and what makes inputs for it unless these are images. Nothing here
imports torch before a network is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from po_nas.networks.base import Networks
from po_nas.registry import Entry
from po_nas.spaces.base import Architecture
from po_nas.spaces.networks import networks_of, registry

if TYPE_CHECKING:
    import torch
    from torch.nn import Module as Module

__all__ = ["Networks", "build", "names", "options", "register", "registry"]

T = TypeVar("T", bound="Callable[..., Module]")

names = registry.names


def register(
    name: str,
    *,
    summary: str,
    reference: str = "",
    tags: tuple[str, ...] = (),
    example_inputs: Callable[..., Any] | None = None,
) -> Callable[[T], T]:
    """Decorate a class or function to register it as the networks of the space `name`.

    `example_inputs` is `Networks.inputs`: what makes inputs that the networks take, by default images. An entry point
    names what is decorated, or a `Networks`.
    """

    def decorator(network: T) -> T:
        origin = f"{network.__module__}.{network.__qualname__}"
        registry.add(Entry(name, summary, Networks(network, example_inputs), reference, tags, None, origin))
        return network

    return decorator


def options(space: str) -> dict[str, Any]:
    """The options of the networks of a space, by name, with their defaults: the benchmark's own network.

    Raises `UnknownNameError` for a space without networks.
    """
    return networks_of(space).options()


def build(
    architecture: Architecture, *, seed: int | torch.Generator = 0, device: str | torch.device = "cpu", **chosen: Any
) -> Module:
    """The network of `architecture`, freshly initialised; `chosen` are `options` of its space's networks.

    The initial weights depend on `seed` alone (a generator gives one seed and moves on): they are drawn on the CPU,
    torch's global generators are left as they were, and the network then goes to `device`. On the device ``"meta"``
    nothing is drawn and no memory is taken, for counting parameters and operations.

    Raises `UnknownNameError` (with the nearest name) for a space without networks or an option it does not have,
    `ConfigError` for a value it cannot use, `InvalidArchitectureError`, and `MissingExtraError` when the networks of
    the space need a package that is not installed.
    """
    network: Module = networks_of(architecture.space).build(architecture, seed=seed, device=device, **chosen)
    return network
