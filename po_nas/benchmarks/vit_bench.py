"""ViT-Bench-101: three lists of 100 vision transformers on small image data sets."""

from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.vit_bench import POOLS
from po_nas.benchmarks.rows import ListedRows, counted_table
from po_nas.core.objective import Metric
from po_nas.proxy_scores.table import ScoreTable
from po_nas.spaces.declared.space import DeclaredSpace
from po_nas.spaces.pool import PoolSpace
from po_nas.spaces.vit_bench import parameters

__all__ = ["load"]

_DATA = {
    "c100": ("CIFAR-100", "10,000", 100, 0.45),
    "flower": ("Oxford Flowers-102", "6,149", 102, 0.6),
    "chaoyang": ("Chaoyang", "2,139", 4, 0.8),
}
"""Name, test images, classes, and the standard error of one accuracy, in points."""
_TRAINING = {"base": "trained from scratch", "kd": "trained with a convolutional teacher"}
_TEST = (
    "all values are accuracies on test images: what a search finds is chosen on the test set, so that its value is no "
    "estimate of how good it is"
)
_SMALL = "100 networks: a rank correlation below about 0.2 is noise"
_POOLS = {
    "autoformer": "100 networks of AutoFormer's kind, drawn at random by the authors",
    "autoformer_2": "100 further networks of AutoFormer's kind, drawn at random by the authors",
    "pit": "100 networks of PiT's kind, drawn at random by the authors",
}
_LEVELS = "the two lists of AutoFormer's kind differ in level at equal parameters: do not pool them"
_SPREAD = "the networks differ by about as much as one value errs: they can hardly be told apart"
_FAILED = "one value, 48.56, looks like a failed run; the next is above 60"
_COUNT = "accuracy here nearly is the number of parameters: compare with that"


def load(task: str, feedback: str) -> Benchmark:
    """A task ``<list>-<data>_<base|kd>``, such as ``pit-c100_kd``; feedback `full` only.

    Raises `MissingDataError` when the data set ``vit_bench`` has not been fetched.
    """
    name = f"vit_bench/{task}"
    pool, _, column = task.partition("-")
    data, _, training = column.partition("_")
    dataset, images, num_classes, error = _DATA[data]
    read = table("vit_bench", name).read(["pool", "arch", column])
    rows = np.flatnonzero(read["pool"] == pool)
    base = cast(DeclaredSpace, spaces.get(POOLS[pool]))
    architectures = [base.from_string(text) for text in read["arch"][rows]]
    counts = [parameters(base.name, base.config_of(one), num_classes) for one in architectures]
    params = np.array(counts) / 1e6
    space = PoolSpace(base, architectures)
    own = [_LEVELS] * (pool != "pit") + [_COUNT] * (pool == "pit")
    own += [_SPREAD] * (pool != "pit" and (training == "base" or data == "chaoyang"))
    own += [_FAILED] * (task == "autoformer-flower_kd")
    return Benchmark(
        name=name,
        space=space,
        rows=ListedRows(space, architectures),
        metric=Metric("test accuracy"),
        feedback=Feedback(
            feedback,
            dataset,
            f"test, {images} images",
            f"not stated; {_TRAINING[training]}",
            "1 run",
            "Auto-Prox (Apache-2.0, README: MIT)",
        ),
        validation=read[column][rows],
        extras={"params": params},
        units={"params": "millions"},
        test_description="none: search and report see the same number, a test accuracy",
        pool_description=_POOLS[pool],
        reference="Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059",
        notes=(_TEST, f"standard error of one value {error} points", _SMALL, *own),
        scores={"own": partial(_counted, name, params)},
        inputs={"num_classes": num_classes},
    )


def _counted(name: str, params: NDArray[np.float64]) -> ScoreTable:
    return counted_table(name, {"params": params})
