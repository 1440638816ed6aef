"""Benchmarks on published samples of spaces: NAS-Bench-101, NAS-Bench-301, and the problems of NAS-Bench-Suite-Zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback, Shorter
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.nasbench201_rows import row_of_tuple
from po_nas.benchmarks.data.text_files import integers
from po_nas.benchmarks.rows import SUITE, ListedRows, published_table, with_seconds
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.categorical import CategoricalSpace
from po_nas.spaces.darts import DARTSSpace
from po_nas.spaces.nasbench101 import NASBench101Space
from po_nas.spaces.pool import PoolSpace

__all__ = ["decode", "load_nasbench101", "load_nasbench301", "load_suite_zero"]

_EPOCHS = {"full": 108, "epochs36": 36, "epochs12": 12, "epochs4": 4}
_MILLIONS = {"params": "millions", "flops": "millions"}
_SPACES = {"nasbench201": "nasbench201", "nasbench301": "darts", "transbench101_micro": "transnas_micro"}
_OPERATIONS_101 = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
"""NASLib's integers of the operations of NAS-Bench-101."""
_VERTICES = 7
_WEAK = {f"{space}-{dataset}" for space in ("nasbench201", "nasbench301") for dataset in ("scifar100", "ninapro")}
_WEAK_NOTE = "on this problem proxies and accuracies on other data sets correlate with next to nothing; cause unknown"
_SMALL_NOTE = "about 200 architectures: a rank correlation below about 0.15 is noise"


def _sampled(
    name: str, base: Space, architectures: Sequence[Architecture], keys: Iterable[str] | None = None, **known: Any
) -> Benchmark:
    """A table whose rows are `architectures` of a space; `known` are the other fields."""
    space = PoolSpace(base, architectures)
    return Benchmark(name=name, space=space, rows=ListedRows(space, architectures, keys), **known)


def load_nasbench101(task: str, feedback: str) -> Benchmark:
    """The task cifar10 on 30,001 cells.

    Feedback `full`: validation accuracy after 108 epochs; nothing is left to report, as no test accuracy was
    published. `epochs36`, `epochs12`, `epochs4`: validation accuracy of a shorter training; the report metric is then
    the validation accuracy after 108 epochs. `full` has the shorter trainings as lower fidelities. Raises
    `MissingDataError` when the data set ``nasbench101_sample`` has not been fetched.
    """
    from po_nas.benchmarks.data.nasbench101 import unpack

    name = f"nasbench101/{task}"
    epochs = _EPOCHS[feedback]
    full = feedback == "full"
    shorter = [lower for lower in sorted(_EPOCHS.values()) if lower < epochs] if full else []
    columns = ["hash", "graph", "val_108", "train_time_108_s", "params"] + [f"val_{epochs}"] * (not full)
    columns += [f"val_{lower}" for lower in shorter]
    read = table("nasbench101_sample", name).read(columns)
    architectures = [unpack(graph) for graph in read["graph"].tolist()]
    return _sampled(
        name,
        spaces.get("nasbench101"),
        architectures,
        read["hash"].tolist(),
        metric=Metric("validation accuracy"),
        feedback=Feedback(
            feedback, "CIFAR-10", "validation, 10,000 images", str(epochs), "1 run", "nasbench-vis (ISC)"
        ),
        validation=read[f"val_{epochs}"],
        test=None if full else read["val_108"],
        cost_s=read["train_time_108_s"] * (epochs / 108),
        extras={"params": read["params"] / 1e6},
        units={"params": "millions"},
        test_description=(
            "unknown: no test accuracy was published"
            if full
            else "validation accuracy (%) after 108 epochs, 1 run; no test accuracy was published"
        ),
        cost_description="recorded training time of 108 epochs" + ("" if full else f", times {epochs}/108") + ", s",
        pool_description="30,001 of the 423,624 cells, chosen by hash: as good as random",
        reference="Ying et al., NAS-Bench-101, ICML 2019, arXiv 1902.09635",
        notes=(
            "the optimum is that of the sample, not of NAS-Bench-101",
            "one run per cell; runs of one cell differ by about 0.3 points after 108 epochs",
        ),
        scores={"published": partial(_scores_of_101, name)},
        shorter={lower: Shorter(read[f"val_{lower}"], lower / 108) for lower in shorter},
        epochs=epochs,
    )


def _scores_of_101(name: str) -> ScoreTable:
    columns = table("nasbench101_sample", f"the scores of {name}").read(["zen", "zen_s", "params"])
    columns["params"] = columns["params"] / 1e6
    notes = ("zen is known for 10,250 of the cells",)
    return published_table(name, {"zen": "zen", "params": "params"}, columns, "NASLib", notes)


def load_nasbench301(task: str, feedback: str) -> Benchmark:
    """The task cifar10 on 1,218 DARTS cells; feedback `full` only: predictions of NAS-Bench-301's surrogate.

    Raises `MissingDataError` when the data set ``nasbench301_sample`` has not been fetched.
    """
    name = f"nasbench301/{task}"
    read = table("nasbench301_sample", name).read(["arch", "surrogate_val", "params_m", "flops_m"])
    darts = cast(DARTSSpace, spaces.get("darts"))
    architectures = [darts.from_naslib(*integers(text)) for text in read["arch"]]
    return _sampled(
        name,
        darts,
        architectures,
        metric=Metric("predicted validation accuracy"),
        feedback=Feedback(
            feedback, "CIFAR-10", "validation", "98 (predicted)", "a surrogate's prediction", "NASLib (Apache-2.0)"
        ),
        validation=read["surrogate_val"],
        extras={"params": read["params_m"], "flops": read["flops_m"]},
        units=_MILLIONS,
        test_description="unknown: the surrogate predicts validation accuracy only",
        pool_description="1,218 DARTS cells, drawn at random by NASLib",
        reference="Zela et al., NAS-Bench-301, ICLR 2022, arXiv 2008.09777",
        notes=("predictions, not trainings: their noise has a standard deviation of about 0.06 points",),
        scores={"published": partial(_scores_of_301, name)},
    )


def _scores_of_301(name: str) -> ScoreTable:
    content = table("nasbench301_sample", f"the scores of {name}")
    chosen = {proxy: f"{proxy}_725" for proxy in SUITE}
    chosen |= {f"{proxy}_500": f"{proxy}_500" for proxy in SUITE if f"{proxy}_500" in content}
    chosen |= {"params": "params_m", "flops": "flops_m"}
    columns = content.read(with_seconds(chosen.values(), content))
    note = "scores of 725 cells; with the suffix _500, of 500 others from a different run: do not pool them unchecked"
    return published_table(name, chosen, columns, "NAS-Bench-Suite-Zero", (note,))


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


def load_suite_zero(task: str, feedback: str) -> Benchmark:
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
    return _sampled(
        name,
        base,
        architectures,
        metric=Metric("accuracy"),
        feedback=Feedback(
            feedback, dataset, "validation by its upstream name", "not stated", "1 run", "NASLib (Apache-2.0)"
        ),
        validation=read["accuracy"][rows],
        extras={"params": read["params"][rows], "flops": read["flops"][rows]},
        units=_MILLIONS,
        test_description="unknown: none was published",
        pool_description=f"{len(rows)} architectures, drawn at random by the authors",
        reference="Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230",
        notes=(_SMALL_NOTE, *([_WEAK_NOTE] if task in _WEAK else [])),
        scores={"published": partial(_scores_of_suite, name, rows)},
    )


def _scores_of_suite(name: str, rows: NDArray[np.intp]) -> ScoreTable:
    names = (*SUITE, "zen", "params", "flops")
    read = table("suite_zero", f"the scores of {name}").read([c for proxy in names for c in (proxy, f"{proxy}_s")])
    columns = {column: values[rows] for column, values in read.items()}
    return published_table(name, {proxy: proxy for proxy in names}, columns, "NAS-Bench-Suite-Zero")
