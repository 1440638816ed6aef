"""NAS-Bench-Suite-Zero's small tables: one row per problem, source and architecture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from po_nas.benchmarks.data.store import Column, Read, numbers, without_failures
from po_nas.benchmarks.data.text_files import read_archive, tuple_text

__all__ = ["PROXIES", "columns"]

PROXIES = (
    "epe_nas",
    "fisher",
    "flops",
    "grad_norm",
    "grasp",
    "jacov",
    "l2_norm",
    "nwot",
    "params",
    "plain",
    "snip",
    "synflow",
    "zen",
)
_TABLES = (
    ("naslib_zc_nasbench201_725.json", "nasbench201", "725"),
    ("naslib_zc_nasbench301_725.json", "nasbench301", "725"),
    ("naslib_zc_transbench101_micro_711.json", "transbench101_micro", "725"),
    ("naslib_zc_transbench101_macro_725.json", "transbench101_macro", "725"),
    ("naslib_zc_nasbench301_500.json", "nasbench301", "500"),
    ("naslib_zc_nasbench101_500.json", "nasbench101", "500"),
)

Row = tuple[str, str, str]


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    `accuracy` is what upstream calls validation accuracy: of the source ``9tasks`` as named upstream; of ``725`` on
    nasbench201 it behaves like the test accuracy of one run and must not be searched on; on transbench101 it is the
    best-epoch validation metric; on nasbench301 a surrogate's prediction; on nasbench101 one of three runs, drawn per
    query. Parameters and FLOPs are in millions; the source ``500`` has no seconds.
    """
    rows: dict[Row, dict[str, float]] = {}
    for record in read_archive(read("naslib_9x_all.zip"), "naslib_9x_all.zip"):
        row = rows.setdefault((f"{record.space}-{record.dataset}", "9tasks", tuple_text(record.architecture)), {})
        row[record.metric], row[f"{record.metric}_s"] = record.score, record.seconds
        row["accuracy"] = record.accuracy
    for file, space, source in _TABLES:
        content = json.loads(read(file))
        for dataset, architectures in content.get(space, content).items():
            for text, record in architectures.items():
                row = rows.setdefault((f"{space}-{dataset}", source, tuple_text(text)), {})
                row |= _flat(record)
    for name, position in (("problem", 0), ("source", 1), ("arch", 2)):
        yield Column(name, [key[position] for key in rows], "id")
    for name in ("accuracy", *(f"{p}{suffix}" for p in PROXIES for suffix in ("", "_s"))):
        values = without_failures(np.array([row.get(name, np.nan) for row in rows.values()], np.float64))
        if name == "accuracy":
            yield numbers(name, values, "see source", "percent, SSIM or negative loss")
        elif name.endswith("_s"):
            yield numbers(name, values, "cost", "s")
        else:
            yield numbers(name, values, "proxy", "million" if name in ("params", "flops") else "")


def _flat(record: dict[str, Any]) -> dict[str, float]:
    flat = {"accuracy": record["val_accuracy"]}
    for proxy in PROXIES:
        value = record.get(proxy)
        if isinstance(value, dict):
            flat[proxy], flat[f"{proxy}_s"] = value["score"], value["time"]
        elif value is not None:
            flat[proxy] = value
    return flat
