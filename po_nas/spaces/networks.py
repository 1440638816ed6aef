"""The networks of search spaces by name: what a space needs to know of them, which is not torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from po_nas.errors import PluginError
from po_nas.registry import Entry, Registry

__all__ = ["SpaceNetworks", "networks_by_function", "networks_of", "registry"]


@runtime_checkable
class SpaceNetworks(Protocol):
    """The networks of one space; `po_nas.networks.Networks` implements it."""

    def options(self) -> dict[str, Any]:
        """What a network can be built with, by name, and the defaults."""

    def build(self, architecture: Any, **options: Any) -> Any:
        """The network (`torch.nn.Module`) of an architecture."""

    def example_inputs(self, samples: int = 16, seed: int = 0, **task: Any) -> tuple[Mapping[str, Any], Any]:
        """Options of the networks, and a made-up batch (`proxies.Batch`) of the right shape, for a task."""


registry: Registry[SpaceNetworks] = Registry("network", "po_nas.networks")

for _name, _target, _summary, _reference in (
    ("nasbench201", "nasbench201:NETWORKS", "3 stages of 5 cells, 16 channels", "arXiv 2001.00326"),
    ("nasbench101", "nasbench101:NETWORKS", "3 stacks of 3 cells, 128 channels", "arXiv 1902.09635"),
    ("transnas_micro", "transnas:MICRO_NETWORKS", "10 cells, 7 tasks", "arXiv 2105.11871"),
    ("transnas_macro", "transnas:MACRO_NETWORKS", "4 to 6 modules of 2 blocks, 7 tasks", "arXiv 2105.11871"),
    ("darts", "darts:NETWORKS", "20 cells for CIFAR, 14 for ImageNet", "arXiv 1806.09055"),
    ("nasbench_mr", "nasbench_mr:NETWORKS", "4 stages of parallel resolutions, 2 heads", "arXiv 2103.13253"),
    ("hwgpt_s", "hwgpt:NETWORKS", "decoder-only transformers", "arXiv 2405.10299"),
    ("hwgpt_m", "hwgpt:NETWORKS", "decoder-only transformers", "arXiv 2405.10299"),
    ("hwgpt_l", "hwgpt:NETWORKS", "decoder-only transformers", "arXiv 2405.10299"),
    ("vit_autoformer", "vit_bench:AUTOFORMER_NETWORKS", "vision transformers", "arXiv 2312.09059"),
    ("vit_pit", "vit_bench:PIT_NETWORKS", "vision transformers with pooling", "arXiv 2312.09059"),
    ("nasbench_bert", "nasbench_bert:NETWORKS", "encoders of text", "arXiv 2306.00288"),
    ("nasbench_graph", "nasbench_graph:NETWORKS", "graph neural networks", "arXiv 2206.09166"),
    ("nasbench_graph_proteins", "nasbench_graph:NETWORKS", "graph neural networks", "arXiv 2206.09166"),
):
    registry.add(Entry(_name, _summary, f"po_nas.networks.{_target}", _reference))


def networks_by_function(space: Any, function: Callable[..., Any], inputs: object) -> SpaceNetworks:
    """The networks that a function makes of the configurations of a declared space."""
    entry: Entry[Any] = Entry(space.name, "networks by a function", "po_nas.networks.declared:DeclaredNetworks")
    maker: Any = registry.load(entry)
    found: SpaceNetworks = maker(space, function, inputs)
    return found


def networks_of(space: str) -> SpaceNetworks:
    """The networks of the space of that name.

    Raises `UnknownNameError`, with the nearest name, for a space without networks, `PluginError` for an installed
    plug-in that names something else.
    """
    found = registry.get(space)
    if not isinstance(found, SpaceNetworks):
        # An entry point may name a class that a decorator has registered: on import the record is there.
        found = registry.get(space)
    if not isinstance(found, SpaceNetworks):
        wrong = TypeError("register it with po_nas.networks.register, or name a po_nas.networks.Networks")
        raise PluginError("network", space, registry.entry(space).origin, wrong)
    return found
