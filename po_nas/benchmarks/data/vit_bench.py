"""ViT-Bench-101 from public files: three lists of 100 vision transformers, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np

from po_nas import spaces
from po_nas.benchmarks.data.store import Column, Read, numbers
from po_nas.benchmarks.data.torch_files import read_torch_file
from po_nas.spaces.declared.space import DeclaredSpace

__all__ = ["POOLS", "TASKS", "columns"]

POOLS = {"autoformer": "vit_autoformer", "autoformer_2": "vit_autoformer", "pit": "vit_pit"}
"""The lists, and the space of each."""
TASKS = tuple(f"{data}_{kind}" for data in ("c100", "flower", "chaoyang") for kind in ("base", "kd"))


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    ``<data>_<base|kd>`` is the accuracy (percent) on the test images of a data set, of one training from scratch
    (`base`) or with a convolutional teacher (`kd`); NaN where a list does not have it. `imagenet_super` is that of
    weights inherited from a supernet, on the validation images of ImageNet: it has two modes that nothing explains.
    """
    pools: list[str] = []
    architectures: list[str] = []
    records: list[Mapping[str, Any]] = []
    for pool, name in POOLS.items():
        file = f"vitbench101_gt_{pool}.pth"
        space = cast(DeclaredSpace, spaces.get(name))
        for record in read_torch_file(read(file), file):
            pools.append(pool)
            architectures.append(space.to_string(space.architecture_of(_configuration(name, record["arch"]))))
            records.append(record)
    yield Column("pool", pools, "id")
    yield Column("arch", architectures, "id")
    for task in (*TASKS, "imagenet_super"):
        values = [record.get(f"{task}_acc") for record in records]
        column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        yield numbers(task, column, "report", "percent")


def _configuration(space: str, told: Mapping[str, Any]) -> dict[str, Any]:
    if space == "vit_autoformer":
        names = {"width": "hidden_dim", "layers": "depth", "heads": "num_heads", "mlp_ratio": "mlp_ratio"}
        return {name: told[theirs] for name, theirs in names.items()}
    triples = {"heads": "num_heads", "layers": "depth"}
    joined = {name: "-".join(map(str, told[theirs])) for name, theirs in triples.items()}
    return {"head_size": told["base_dim"], "mlp_ratio": told["mlp_ratio"], **joined}
