"""Torch networks of the search spaces: `build` makes the network of an architecture, `options` lists what it takes.

`Space.build` is a shorthand for `build`. A plug-in registers the networks of its own space under the space's name: a
class or function called as ``network(architecture, **options)``. Nothing here imports torch before a network is built.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from po_nas.errors import UnknownNameError
from po_nas.registry import Entry, Registry
from po_nas.spaces.base import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch.nn import Module as Module

    Builder = Callable[..., Module]

__all__ = ["build", "names", "options", "register", "registry"]

registry: Registry[Builder] = Registry("network", "po_nas.networks")
register = registry.register
names = registry.names

for _name, _target, _summary, _reference in (
    ("nasbench201", "nasbench201:NASBench201Network", "3 stages of 5 cells, 16 channels", "arXiv 2001.00326"),
    ("nasbench101", "nasbench101:NASBench101Network", "3 stacks of 3 cells, 128 channels", "arXiv 1902.09635"),
    ("transnas_micro", "transnas:TransNASMicroNetwork", "10 cells, 7 tasks", "arXiv 2105.11871"),
    ("transnas_macro", "transnas:TransNASMacroNetwork", "4 to 6 modules of 2 blocks, 7 tasks", "arXiv 2105.11871"),
    ("darts", "darts:DARTSNetwork", "20 cells for CIFAR, 14 for ImageNet", "arXiv 1806.09055"),
    ("nasbench_graph", "nasbench_graph:NASBenchGraphNetwork", "graph neural networks", "arXiv 2206.09166"),
    ("nasbench_graph_proteins", "nasbench_graph:NASBenchGraphNetwork", "graph neural networks", "arXiv 2206.09166"),
):
    registry.add(Entry(_name, _summary, f"po_nas.networks.{_target}", _reference))


def options(space: str) -> dict[str, Any]:
    """The options of the networks of a space, by name, with their defaults: the benchmark's own network.

    Raises `UnknownNameError` for a space without networks.
    """
    parameters = inspect.signature(registry.get(space)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


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
    from po_nas import spaces
    from po_nas.networks.initialisation import on_meta, seeded

    builder = registry.get(architecture.space)
    known = options(architecture.space)
    for name in chosen:
        if name not in known:
            raise UnknownNameError(f"option of {architecture.space} networks", name, known)
    if architecture.space in spaces.names():
        spaces.get(architecture.space).validate(architecture)
    if str(device) == "meta":
        with on_meta():
            return builder(architecture, **chosen)
    with seeded(seed):
        network = builder(architecture, **chosen)
    return network if str(device) == "cpu" else network.to(device)
