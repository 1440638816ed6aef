"""Search spaces: `get`, `names`, `register` and the contract `Space`."""

from __future__ import annotations

from functools import cache

from po_nas.errors import PoNasError
from po_nas.registry import Registry
from po_nas.spaces.base import Architecture, GraphEncoding, OperationGraph, Space

__all__ = ["Architecture", "GraphEncoding", "OperationGraph", "Space", "get", "names", "register", "registry"]

registry: Registry[type[Space]] = Registry("search space", "po_nas.spaces")
register = registry.register
names = registry.names

registry.declare(
    "po_nas.spaces",
    ("nasbench201", "cell:NASBench201Space", "6 edges, 5 operations, 15,625 cells", "arXiv 2001.00326"),
    ("nasbench101", "nasbench101:NASBench101Space", "graphs of up to 7 vertices and 9 edges", "arXiv 1902.09635"),
    ("transnas_micro", "cell:TransNASMicroSpace", "6 edges, 4 operations, 4,096 cells", "arXiv 2105.11871"),
    ("transnas_macro", "transnas_macro:TransNASMacroSpace", "4 to 6 modules, 4 types, 3,256 nets", "arXiv 2105.11871"),
    ("nasbench_graph", "nasbench_graph:NASBenchGraphSpace", "9 wirings, 4 of 9 GNN layers", "arXiv 2206.09166"),
    (
        "nasbench_graph_proteins",
        "nasbench_graph:NASBenchGraphProteinsSpace",
        "9 wirings, 4 of 5 GNN layers",
        "arXiv 2206.09166",
    ),
    ("darts", "darts:DARTSSpace", "normal and reduction cell, 8 edges each, 7 operations", "arXiv 1806.09055"),
    ("nasbench_mr", "nasbench_mr:NASBenchMRSpace", "4 stages, up to 4 resolutions, 27 integers", "arXiv 2103.13253"),
)
_DECLARED = ((), "declared")
"""Tags and spec of spaces that are made of named choices."""
registry.declare(
    "po_nas.spaces",
    ("hwgpt_s", "hwgpt:small", "GPT, 10 to 12 layers, 1.9e12 architectures", "arXiv 2405.10299", *_DECLARED),
    ("hwgpt_m", "hwgpt:medium", "GPT, 22 to 24 layers, 5.4e23 architectures", "arXiv 2405.10299", *_DECLARED),
    ("hwgpt_l", "hwgpt:large", "GPT, 34 to 36 layers, 1.5e35 architectures", "arXiv 2405.10299", *_DECLARED),
    ("vit_autoformer", "vit_bench:autoformer", "ViT, 12 to 14 layers, 1.1e9", "arXiv 2312.09059", *_DECLARED),
    ("vit_pit", "vit_bench:pit", "ViT with pooling, 3 stages, 1,600", "arXiv 2312.09059", *_DECLARED),
    ("nasbench_bert", "nasbench_bert:encoders", "encoders of 2 or 4 layers, 1.1e7", "arXiv 2306.00288", *_DECLARED),
)


@cache
def _instance(kind: type[Space]) -> Space:
    return kind()


def get(name: str) -> Space:
    """The space called `name`; spaces hold no state, so one instance serves everybody.

    Raises `UnknownNameError` with the nearest name.
    """
    space = _instance(registry.get(name))
    if space.name != name:
        raise PoNasError(f"the search space registered as {name!r} calls itself {space.name!r}; make the two equal")
    return space
