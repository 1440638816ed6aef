"""NAS-Bench-MR from public files: 2,507 networks in the order in which they were published, eight tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from po_nas import spaces
from po_nas.benchmarks.data.store import Column, Read, numbers
from po_nas.benchmarks.unpickle import read_pickle_bytes
from po_nas.errors import DataError
from po_nas.spaces.base import Architecture

__all__ = ["TASKS", "columns"]

_TOP = ("top1", "top5")
_REGIONS = ("mIoU", "mAcc", "aAcc")
TASKS = {
    "cls-50-1000": _TOP,
    "cls-50-100": _TOP,
    "cls-10-1000": _TOP,
    "cls-10c": _TOP,
    "seg": _REGIONS,
    "seg-4x": _REGIONS,
    "video": _TOP,
    "video-p": _TOP,
}
"""The metrics of each task, percent, the one that counts first."""


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    ``<task>_<metric>`` of one training of each network; the published files do not say of which split. `params_m` and
    `flops_m` are in millions; operations are those of images of 128 x 128 pixels, see `po_nas.spaces.nasbench_mr`.
    """
    content = {task: _records(read, task) for task in TASKS}
    first = next(iter(content.values()))
    for task, records in content.items():
        if [record["embedding"] for record in records] != [record["embedding"] for record in first]:
            raise DataError(f"NAS-Bench-MR {task}: other networks than those of {next(iter(content))}")
    space = spaces.get("nasbench_mr")
    architectures = [Architecture(space.name, tuple(map(int, record["embedding"]))) for record in first]
    for architecture in architectures:
        space.validate(architecture)
    yield Column("arch", [space.to_string(architecture) for architecture in architectures], "id")
    yield numbers("params_m", [record["params"] for record in first], "proxy", "million")
    yield numbers("flops_m", [1e3 * record["flops"] for record in first], "proxy", "million")
    for task, metrics in TASKS.items():
        for metric in metrics:
            yield numbers(f"{task}_{metric}", [record[metric] for record in content[task]], "search", "percent")


def _records(read: Read, task: str) -> list[dict[str, Any]]:
    file = f"ncp_{task}_trainval.pkl"
    return cast("list[dict[str, Any]]", read_pickle_bytes(read(file), file))
