"""TransNAS-Bench-101: seven Taskonomy tasks on 4,096 micro cells and 3,256 macro networks, from public files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.rows import SUITE, SUITE_SOURCE, EnumerationRows, ListedRows, published_table, with_seconds
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import Rows, ScoreTable
from po_nas.spaces.categorical import CategoricalSpace

__all__ = ["load_macro", "load_micro"]

_METRICS = {
    "class_scene": ("top1", "top1"),
    "class_object": ("top1", "top1"),
    "room_layout": ("neg_loss", "neg_loss"),
    "jigsaw": ("top1", "top1"),
    "segmentsemantic": ("miou", "acc"),
    "normal": ("ssim", "ssim"),
    "autoencoder": ("ssim", "ssim"),
}
"""The metric of each task at the best epoch, and at the final epoch."""

_NAMES = {
    "top1": ("top-1 accuracy", "%"),
    "acc": ("pixel accuracy", "%"),
    "miou": ("mIoU", "%"),
    "neg_loss": ("negative loss", ""),
    "ssim": ("SSIM", ""),
}
_REFERENCE = "Duan et al., TransNAS-Bench-101, CVPR 2021, arXiv 2105.11871"
_BEST = "best-epoch values are maxima over epochs, taken per split: optimistic, for test most of all"
_SEGMENTATION = (
    "segmentsemantic: full is mIoU as in the benchmark's paper; the final epoch is published as pixel accuracy only, "
    "so robot is pixel accuracy and its numbers do not compare with those of full"
)
_NOTES = {
    "micro": (
        "169 cells have no path from input to output and are at chance level",
        "the 4,096 cells hold 2,994 distinct records: split predictor data by the canonical key",
    ),
    "macro": (),
}
_POOLS = {"micro": "all 4,096 cells", "macro": "all 3,256 networks"}


def _read_rows(level: str, names: list[str], what: str) -> tuple[Rows, dict[str, NDArray[Any]]]:
    """Rows and columns of one level (``micro`` or ``macro``); `MissingDataError` says that `what` needs the data.

    Micro cells come in the order of the space's enumeration, macro networks in the order of the API.
    """
    space = spaces.get(f"transnas_{level}")
    read = table("transnasbench101", what).read(["space", "arch", *names])
    chosen = np.flatnonzero(read["space"] == level)
    architectures = [space.from_string(text) for text in read["arch"][chosen]]
    rows: Rows
    if isinstance(space, CategoricalSpace):
        chosen = chosen[np.argsort([space.index(a) for a in architectures])]
        rows = EnumerationRows(space)
    else:
        rows = ListedRows(space, architectures)
    return rows, {name: read[name][chosen] for name in names}


def load_micro(task: str, feedback: str) -> Benchmark:
    """A task of the cell-level space; feedbacks as in `load_macro`."""
    return _load("micro", task, feedback)


def load_macro(task: str, feedback: str) -> Benchmark:
    """A task of the network-level space.

    Feedback `full`: the best-epoch validation metric, as in the benchmark's paper. `robot`: the final-epoch one, as
    RoBoT (arXiv 2403.07591) and PO-NAS queried it. Both report the best-epoch test metric; no other was published.
    Raises `MissingDataError` when the data set ``transnasbench101`` has not been fetched.
    """
    return _load("macro", task, feedback)


def _load(level: str, task: str, feedback: str) -> Benchmark:
    name = f"transnas_{level}/{task}"
    full = feedback == "full"
    metric = _METRICS[task][0 if full else 1]
    label, unit = _NAMES[metric]
    columns = {
        "validation": f"{task}_val_{metric}_{'best' if full else 'final'}",
        "test": f"{task}_test_{metric}_best",
        "cost": f"{task}_time_elapsed_max",
        "params": f"{task}_params_m",
        "flops": f"{task}_flops_m",
    }
    rows, read = _read_rows(level, list(columns.values()), name)
    found = cast("Mapping[str, NDArray[np.float64]]", {key: read[column] for key, column in columns.items()})
    return Benchmark(
        name=name,
        space=spaces.get(f"transnas_{level}"),
        rows=rows,
        metric=Metric(f"validation {label}", unit),
        feedback=Feedback(
            feedback,
            f"Taskonomy {task}",
            "validation",
            "best epoch" if full else "final epoch",
            "1 run",
            "NASGraph-Public (Apache-2.0)" if full else "NASLib (Apache-2.0)",
        ),
        validation=found["validation"],
        test=found["test"],
        cost_s=found["cost"],
        extras={"params": found["params"], "flops": found["flops"]},
        units={"params": "millions", "flops": "millions"},
        test_description=f"test {label}{f' ({unit})' if unit else ''} at its own best epoch, 1 run",
        cost_description="recorded time_elapsed of the training, presumably seconds",
        pool_description=_POOLS[level],
        reference=_REFERENCE,
        notes=(*_NOTES[level], _BEST, *([_SEGMENTATION] if task == "segmentsemantic" else [])),
        scores={"published": partial(_published_scores, level, task)},
        inputs={"task": task},
    )


def _published_scores(level: str, task: str) -> ScoreTable:
    name = f"transnas_{level}/{task}"
    content = table("transnasbench101", f"the scores of {name}")
    chosen = {proxy: f"{task}_{proxy}" for proxy in ("zen", "epe_nas", "synflow", "fisher")}
    chosen |= {proxy: f"{task}_nbs0_{proxy}" for proxy in SUITE if f"{task}_{proxy}" not in content}
    chosen |= {"params": f"{task}_params_m", "flops": f"{task}_flops_m"}
    _, columns = _read_rows(level, with_seconds(chosen.values(), content), f"the scores of {name}")
    chosen = {proxy: c for proxy, c in chosen.items() if c in columns and np.isfinite(columns[c]).any()}
    notes = ("fisher is one of several upstream runs, which differ by noise",) * ("fisher" in chosen)
    if task == "jigsaw":
        notes += ("epe_nas is 0 for nearly all architectures of this task and says nothing",)
    if "nwot" in chosen:
        notes += ("eight scores are known for the 2,128 cells without dead edges only",)
    return published_table(name, chosen, columns, SUITE_SOURCE, notes)
