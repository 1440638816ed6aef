"""DARTS cells with surrogate predictions of NAS-Bench-301, from two NAS-Bench-Suite-Zero tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.store import Column, Read, numbers, without_failures
from po_nas.benchmarks.data.text_files import tuple_text

__all__ = ["PROXIES", "columns"]

PROXIES = ("epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "plain", "snip", "synflow")


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

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
    for proxy in PROXIES:
        yield numbers(f"{proxy}_725", without_failures(column(large, proxy, "score")), "proxy")
        yield numbers(f"{proxy}_725_s", column(large, proxy, "time"), "cost", "s")
        if proxy != "nwot":
            yield numbers(f"{proxy}_500", without_failures(column(small, proxy)), "proxy")
