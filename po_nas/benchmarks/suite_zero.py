"""NAS-Bench-Suite-Zero's nine small problems that have all 13 proxies for every architecture."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.nasbench201_rows import row_of_tuple
from po_nas.benchmarks.data.text_files import integers
from po_nas.benchmarks.rows import ListedRows
from po_nas.benchmarks.scores import SUITE, published_table
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.base import Architecture
from po_nas.spaces.categorical import CategoricalSpace
from po_nas.spaces.darts import DARTSSpace
from po_nas.spaces.nasbench101 import NASBench101Space
from po_nas.spaces.pool import PoolSpace

__all__ = ["decode", "load"]

_SPACES = {"nasbench201": "nasbench201", "nasbench301": "darts", "transbench101_micro": "transnas_micro"}
_OPERATIONS_101 = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
"""NASLib's integers of the operations of NAS-Bench-101."""
_VERTICES = 7
_WEAK = {f"{space}-{dataset}" for space in ("nasbench201", "nasbench301") for dataset in ("scifar100", "ninapro")}
_WEAK_NOTE = "on this problem proxies and accuracies on other data sets correlate with next to nothing; cause unknown"
_SMALL_NOTE = "about 200 architectures: a rank correlation below about 0.15 is noise"


def decode(space: str, text: str) -> Architecture:
    """The architecture of one of our spaces that NASLib writes as `text`, nested tuples of integers."""
    codes: tuple[Any, ...] = integers(text)
    if space == "nasbench101":
        matrix = [list(codes[_VERTICES * row : _VERTICES * (row + 1)]) for row in range(_VERTICES)]
        operations = [_OPERATIONS_101[code] for code in codes[_VERTICES**2 :]]
        return cast(NASBench101Space, spaces.get(space)).from_matrix(matrix, operations)
    if space == "nasbench201":
        return cast(CategoricalSpace, spaces.get(space)).at(row_of_tuple(text))
    if space == "darts":
        return cast(DARTSSpace, spaces.get(space)).from_naslib(*codes)
    # Macro networks of fewer than six modules are padded with zeros.
    return Architecture(space, tuple(code for code in codes if code or space != "transnas_macro"))


def load(task: str, feedback: str) -> Benchmark:
    """A problem ``<space>-<dataset>``; feedback `full` only.

    Raises `MissingDataError` when the data set ``suite_zero`` has not been fetched.
    """
    name = f"suite_zero/{task}"
    content = table("suite_zero", name)
    keys = content.read(["problem", "source"])
    rows = np.flatnonzero((keys["problem"] == task) & (keys["source"] == "9tasks"))
    suite_space, _, dataset = task.partition("-")
    base = spaces.get(_SPACES[suite_space])
    read = content.read(["arch", "accuracy", "params", "flops"])
    architectures = [decode(base.name, text) for text in read["arch"][rows]]
    space = PoolSpace(base, architectures)
    return Benchmark(
        name=name,
        space=space,
        rows=ListedRows(space, architectures),
        metric=Metric("accuracy"),
        feedback=Feedback(
            feedback, dataset, "validation by its upstream name", "not stated", "1 run", "NASLib (Apache-2.0)"
        ),
        validation=read["accuracy"][rows],
        extras={"params": read["params"][rows], "flops": read["flops"][rows]},
        units={"params": "millions", "flops": "millions"},
        test_description="unknown: none was published",
        pool_description=f"{len(rows)} architectures, drawn at random by the authors",
        reference="Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230",
        notes=(_SMALL_NOTE, *([_WEAK_NOTE] if task in _WEAK else [])),
        scores={"published": partial(_published_scores, name, rows)},
    )


def _published_scores(name: str, rows: NDArray[np.intp]) -> ScoreTable:
    names = (*SUITE, "zen", "params", "flops")
    read = table("suite_zero", f"the scores of {name}").read([c for proxy in names for c in (proxy, f"{proxy}_s")])
    columns = {column: values[rows] for column, values in read.items()}
    return published_table(name, {proxy: proxy for proxy in names}, columns, "NAS-Bench-Suite-Zero")
