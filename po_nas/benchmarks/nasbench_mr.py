"""NAS-Bench-MR: 2,507 multi-resolution networks on eight tasks of image classification, segmentation and video."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.nasbench_mr import TASKS
from po_nas.benchmarks.rows import ListedRows, published_table
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.pool import PoolSpace

__all__ = ["load"]

_IMAGENET = "a part of ImageNet: {} classes, {} training images of each"
_DATA = {
    "cls-50-1000": _IMAGENET.format(50, "1,000"),
    "cls-50-100": _IMAGENET.format(50, 100),
    "cls-10-1000": _IMAGENET.format(10, "1,000"),
    "cls-10c": "a part of ImageNet, setting 10c, which the authors do not explain",
    "seg": "Cityscapes",
    "seg-4x": "Cityscapes, setting 4x, which the authors do not explain",
    "video": "HMDB51",
    "video-p": "HMDB51, setting p, which the authors do not explain",
}
_NOISE = {
    "cls-50-1000": "standard error of one value 0.8 points, from about 2,500 images",
    "cls-50-100": "standard error of one value 1.0 points, from about 2,500 images",
    "cls-10-1000": (
        "standard error of one value 1.6 points, from about 500 images, as much as the networks differ (standard "
        "deviation 1.5): this task is mostly noise"
    ),
    "cls-10c": "standard error of one value 1.0 points, from about 2,500 images",
    "video": "standard error of one value 1.2 points, from about 1,124 videos",
    "video-p": "standard error of one value 1.4 points, from about 1,124 videos",
}
_NO_REPEATS = "one run of each network, none repeated: differences below about 1 point mean nothing"
_LICENCE = "its licence is BSD-2-Clause, its README allows academic use and asks for an agreement for commercial use"
_SPLIT = "no split is stated, and no test value was published: search and report see the same number"
_SIZES = (
    "params and flops are those of the network of classification with 50 classes and images of 128 x 128 pixels, "
    "whatever the task; flops counts multiplications of convolutions and two for each number of a batch normalisation"
)
_NAMES = {"top1": "top-1 accuracy", "mIoU": "mean intersection over union"}


def load(task: str, feedback: str) -> Benchmark:
    """One of the eight tasks; feedback `full` only.

    Raises `MissingDataError` when the data set ``nasbench_mr`` has not been fetched.
    """
    name = f"nasbench_mr/{task}"
    metric, *others = TASKS[task]
    columns = [f"{task}_{m}" for m in (metric, *others)]
    read = table("nasbench_mr", name).read(["arch", "params_m", "flops_m", *columns])
    base = spaces.get("nasbench_mr")
    architectures = [base.from_string(text) for text in read["arch"]]
    space = PoolSpace(base, architectures)
    sizes = {size: read[f"{size}_m"] for size in ("params", "flops")}
    noise = (_NOISE[task],) if task in _NOISE else ()
    return Benchmark(
        name=name,
        space=space,
        rows=ListedRows(space, architectures),
        metric=Metric(_NAMES[metric]),
        feedback=Feedback(
            feedback,
            _DATA[task],
            "not stated; not the training images, by its granularity",
            "not stated",
            "1 run",
            "NCP (BSD-2-Clause, README: academic use)",
        ),
        validation=read[columns[0]],
        extras=sizes,
        measured={other: read[f"{task}_{other}"] for other in others},
        units={"params": "millions", "flops": "millions", **dict.fromkeys(others, "%")},
        test_description="none: search and report see the same number",
        pool_description="2,507 networks: 1,999 drawn with channels in steps of 16, about 500 smaller ones, 6 by hand",
        reference=base.reference,
        notes=(_SPLIT, _NO_REPEATS, *noise, _SIZES, _LICENCE),
        scores={"published": partial(_sizes_as_scores, name, sizes)},
        inputs={"num_classes": 50, "size": 64},
    )


def _sizes_as_scores(name: str, sizes: dict[str, NDArray[np.float64]]) -> ScoreTable:
    return published_table(name, {size: size for size in sizes}, sizes, "NAS-Bench-MR")
