"""NAS-Bench-Suite-Zero's small tables, a row per problem, source and architecture; and those of NAS-Bench-301."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.store import Column, Read, numbers, without_failures
from po_nas.benchmarks.data.text_files import SUITE, read_archive, tuple_text

__all__ = ["PROXIES", "columns", "nasbench301_columns"]

PROXIES = tuple(sorted((*SUITE, "flops", "params", "zen")))
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


def nasbench301_columns(read: Read) -> Iterator[Column]:
    """Convert the public files of DARTS cells with surrogate predictions of NAS-Bench-301.

    `surrogate_val` (percent) is a prediction, not a training; where a cell is in both tables it is the value of the
    larger one. The proxies of the two tables come from different runs and stay apart: ``<proxy>_725`` with seconds,
    ``<proxy>_500`` without.
    """
    large = {tuple_text(k): v for k, v in json.loads(read("naslib_zc_nasbench301_725.json"))["cifar10"].items()}
    small = {
        tuple_text(k): v
        for k, v in json.loads(read("naslib_zc_nasbench301_500.json"))["nasbench301"]["cifar10"].items()
    }
    cells = list(dict.fromkeys([*large, *small]))

    def column(table: Mapping[str, Any], metric: str, part: str | None = None) -> NDArray[np.float64]:
        found = [table.get(cell, {}).get(metric, np.nan) for cell in cells]
        return np.array([value.get(part, np.nan) if isinstance(value, dict) else value for value in found], np.float64)

    yield Column("arch", cells, "id")
    first, second = column(large, "val_accuracy"), column(small, "val_accuracy")
    yield numbers("surrogate_val", np.where(np.isnan(first), second, first), "search", "percent")
    yield numbers("surrogate_val_725", first, "search", "percent")
    yield numbers("surrogate_val_500", second, "search", "percent")
    for measure in ("params", "flops"):
        listed = column(large, measure, "score")
        values = np.where(np.isnan(listed), column(small, measure), listed)
        yield numbers(f"{measure}_m", values, "proxy", "million")
    for proxy in SUITE:
        yield numbers(f"{proxy}_725", without_failures(column(large, proxy, "score")), "proxy")
        yield numbers(f"{proxy}_725_s", column(large, proxy, "time"), "cost", "s")
        if proxy != "nwot":
            yield numbers(f"{proxy}_500", without_failures(column(small, proxy)), "proxy")
