"""Names of benchmarks that train, ``train/SPACE/DATA``: any space whose networks can be built, on any data set."""

from __future__ import annotations

from po_nas import spaces
from po_nas.benchmarks import BenchmarkSpec, Loader
from po_nas.registry import Entry
from po_nas.spaces.networks import registry as networks
from po_nas.training import data_sets

__all__ = ["entry_of", "names"]

_FAMILY = "train/"
_NO_DATA = ("nasbench_graph", "nasbench_graph_proteins", "hwgpt_s", "hwgpt_m", "hwgpt_l", "nasbench_bert")
"""Spaces whose networks take graphs or words, of which there is no data set."""


def names() -> list[str]:
    """What is listed: networks for images on image sets, declared spaces and those of plug-ins on all data sets."""
    found = []
    for space in spaces.registry.entries():
        if space.name in _NO_DATA or not (space.name in networks or space.spec == "declared"):
            continue
        for dataset in data_sets.registry.entries():
            if space.origin != "po-nas" or isinstance(dataset.target, data_sets.ImageSet):
                found.append(f"{_FAMILY}{space.name}/{dataset.name}")
    return found


def entry_of(name: str) -> Entry[Loader]:
    """What is known of a benchmark; nothing is read or built.

    Raises `UnknownNameError`, with the nearest name, for a space or a data set that there is not.
    """
    space, _, dataset = name.removeprefix(_FAMILY).partition("/")
    known = spaces.registry.entry(space)
    data_sets.registry.entry(dataset)
    spec = BenchmarkSpec(known.name, data_sets.recipes_of(dataset), trained=True)
    summary = f"networks of {space}, really trained on {dataset}"
    return Entry(name, summary, "po_nas.training.objective:load", known.reference, spec=spec)
