"""TransNAS-Bench-101 from public files: seven tasks, 4,096 micro cells and 3,256 macro networks, in API order."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from po_nas.benchmarks.data.store import Column, Read, numbers, without_failures
from po_nas.benchmarks.data.text_files import integers, read_archive, read_csv
from po_nas.errors import DataError

__all__ = ["METRICS", "columns", "complete", "features"]

_HALVES, _DOUBLES = (3, 4), (2, 4)
"""Macro module kinds that halve the resolution, and those that double the channels."""


def features(space: str, operations: Sequence[int]) -> Counter[Hashable]:
    """How often each additive part occurs in a network; `space` is ``micro`` or ``macro``."""
    if space == "micro":
        return Counter(enumerate(operations))
    parts: Counter[Hashable] = Counter()
    halved = doubled = 0
    for kind in operations:
        parts["module", kind, halved, doubled] += 1
        halved += kind in _HALVES
        doubled += kind in _DOUBLES
    parts["head", halved, doubled] += 1
    return parts


def complete(
    listed: Sequence[Counter[Hashable]], values: NDArray[np.float64], wanted: Sequence[Counter[Hashable]]
) -> NDArray[np.float64]:
    """Values (n, q) of the `wanted` networks in millions, from the (m, q) of the `listed`; NaN where undetermined.

    Parameters and FLOPs are sums: over (edge, operation) for a micro cell, and for a macro network over its modules,
    each of which depends on its kind, on how often channels were doubled and on how often resolution was halved before
    it, plus a head that depends on the final counts. Least squares on the listed networks therefore recovers every
    network whose features lie in the span of theirs, exactly.
    """
    names: dict[Hashable, int] = {}
    for parts in [*listed, *wanted]:
        for part in parts:
            names.setdefault(part, len(names))
    known, asked = (np.zeros((len(rows), len(names))) for rows in (listed, wanted))
    for matrix, rows in ((known, listed), (asked, wanted)):
        for row, parts in enumerate(rows):
            for part, count in parts.items():
                matrix[row, names[part]] = count
    # On a busy machine a second thread makes matrices of this size many times slower.
    with threadpool_limits(1):
        solution, _, rank, _ = np.linalg.lstsq(known, values, rcond=None)
        null = np.linalg.svd(np.linalg.qr(known, mode="r"))[2][rank:]
    determined = np.abs(asked @ null.T).max(axis=1, initial=0.0) < 1e-8
    # A count of parameters or operations is whole: six digits of a million.
    return np.where(determined[:, None], np.round(asked @ solution, 6), np.nan)


METRICS = {
    "class_scene": ("top1", "top5"),
    "class_object": ("top1", "top5"),
    "room_layout": ("neg_loss",),
    "jigsaw": ("top1", "top5"),
    "segmentsemantic": ("acc", "miou"),
    "normal": ("ssim",),
    "autoencoder": ("ssim",),
}
"""The metrics of each task; the first is the one whose final-epoch validation was published."""

_UNITS = {"top1": "percent", "top5": "percent", "acc": "percent", "miou": "percent"}
_UPSTREAM = {"miou": "mIoU"}
_SPLITS = {"train": ("train", "train"), "valid": ("val", "search"), "test": ("test", "report")}
_ARCHIVES = (
    "naslib_tnb101_macro_zen.zip",
    "naslib_all_benchmarks_zen.zip",
    "naslib_tnb101_classification_epe_nas.zip",
    "naslib_tnb101_classification_synflow.zip",
    "naslib_tnb101_macro_class_object_fisher.zip",
    "naslib_tnb101_macro_jigsaw_fisher.zip",
    "naslib_tnb101_micro_class_object_fisher.zip",
    "naslib_tnb101_micro_fisher_jisgaw_all.zip",
)
_SCENE_PROXIES = ("fisher", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "plain", "snip")

Key = tuple[str, tuple[int, ...]]


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    ``<task>_<train|val|test>_<metric>_best`` are maxima over epochs, taken per split; ``<task>_val_<metric>_final`` is
    the last epoch and exists for validation only. ``<task>_time_elapsed_max`` is upstream's, presumably seconds.
    """
    strings = re.findall(r"arch-index=\d+, arch=([^,]+),", read("transbench101_archs_index.txt").decode("utf-8"))
    keys = [_key(text) for text in strings]
    row_of = {key: row for row, key in enumerate(keys)}
    if len(row_of) != 7352:
        raise DataError(f"TransNAS-Bench-101: {len(row_of)} distinct architectures in the index, expected 7352")
    yield Column("space", [space for space, _ in keys], "id")
    yield Column("arch", strings, "id")

    for task, metrics in METRICS.items():
        content = read_csv(read(f"nasgraph_transbench101_{task}.csv"))
        order = np.argsort([int(i) for i in content["file_id"]])
        for upstream, (split, role) in _SPLITS.items():
            for metric in metrics:
                values = np.asarray(content[f"{upstream}_{_UPSTREAM.get(metric, metric)}"], np.float64)[order]
                yield numbers(f"{task}_{split}_{metric}_best", values, role, _UNITS.get(metric, ""))
        yield numbers(
            f"{task}_time_elapsed_max", np.asarray(content["time_elapsed"], np.float64)[order], "cost", "s (presumably)"
        )
    yield from _scores(read, row_of)
    yield from _scene_scores(read, row_of)
    yield from _sizes(read, keys)


def _key(text: str) -> Key:
    """Space and operation codes of an API string."""
    _, middle, tail = text.split("-")
    if tail == "basic":
        return "macro", tuple(int(kind) for kind in middle)
    return "micro", tuple(int(operation) for operation in tail.replace("_", ""))


@cache
def _naslib_key(space: str, text: str) -> Key:
    """The same of a NASLib tuple; macro tuples are padded with zeros."""
    codes = integers(text)
    return ("macro", tuple(c for c in codes if c)) if space.endswith("macro") else ("micro", codes)


def _scores(read: Read, row_of: dict[Key, int]) -> Iterator[Column]:
    """Proxy scores with their seconds, and the final-epoch validation metric listed beside them."""
    found: dict[str, NDArray[np.float64]] = {}
    final: dict[str, NDArray[np.float64]] = {task: np.full(len(row_of), np.nan) for task in METRICS}
    for archive in _ARCHIVES:
        for record in read_archive(read(archive), archive):
            row = row_of[_naslib_key(record.space, record.architecture)]
            for suffix, value in (("", record.score), ("_s", record.seconds)):
                name = f"{record.dataset}_{record.metric}{suffix}"
                if name not in found:
                    found[name] = np.full(len(row_of), np.nan)
                found[name][row] = value
            if not np.isnan(record.accuracy):
                final[record.dataset][row] = record.accuracy
    for task, values in final.items():
        metric = METRICS[task][0]
        yield numbers(f"{task}_val_{metric}_final", values, "search", _UNITS.get(metric, ""))
    for name, values in sorted(found.items()):
        if name.endswith("_s"):
            yield numbers(name, values, "cost", "s")
        else:
            yield numbers(name, without_failures(values), "proxy")


def _scene_scores(read: Read, row_of: dict[Key, int]) -> Iterator[Column]:
    content = read_csv(read("zccombine_tnb101_micro_valid_nets.csv"))
    rows = [row_of["micro", integers(text)] for text in content["net"]]
    for proxy in _SCENE_PROXIES:
        values = np.full(len(row_of), np.nan)
        values[rows] = np.asarray(content[proxy], np.float64)
        yield numbers(f"class_scene_nbs0_{proxy}", without_failures(values), "proxy")


def _sizes(read: Read, keys: list[Key]) -> Iterator[Column]:
    parts = [features(*key) for key in keys]
    lists = {
        "micro": json.loads(read("naslib_zc_transbench101_micro_711.json")),
        "macro": json.loads(read("naslib_zc_transbench101_macro_725.json")),
    }
    measures = ("params", "flops")
    for task in METRICS:
        values = np.full((len(keys), len(measures)), np.nan)
        for space, content in lists.items():
            listed = [features(*_naslib_key(space, text)) for text in content[task]]
            known = np.array([[record[m]["score"] for m in measures] for record in content[task].values()])
            rows = [row for row, (where, _) in enumerate(keys) if where == space]
            values[rows] = complete(listed, known, [parts[row] for row in rows])
        for measure, column in zip(measures, values.T, strict=True):
            yield numbers(f"{task}_{measure}_m", column, "proxy", "million")
