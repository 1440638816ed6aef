"""All of DARTS with what a linear model says of it that was fitted to NAS-Bench-301's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.text_files import integers
from po_nas.benchmarks.predicted import PredictedBenchmark
from po_nas.core.objective import Metric
from po_nas.spaces.base import Architecture
from po_nas.spaces.darts import DARTSSpace
from po_nas.spaces.ngrams import NGramEncoder

__all__ = ["DARTSLinear", "load"]

F64 = NDArray[np.float64]
_UNITS = {"params": "millions", "flops": "millions"}
_LEAST = 5
"""Sampled cells that must have an operation, or a pair, for it to count."""
_PENALTY = 20.0
"""Of the ridge regression of standardised counts; what cross-validation chooses, to the nearest ten."""
_DECIMALS = 6
"""Kept of a prediction, so that processors agree."""


class DARTSLinear(PredictedBenchmark):
    """DARTS cells with a predicted accuracy that is linear in counts of their operations.

    The search signal is a ridge regression on how often each operation, and each pair of operations that follow each
    other, occurs in the two cells. It was fitted to the 1,218 predictions of NAS-Bench-301's surrogate that are public.
    Left out in tenths, they are predicted with a rank correlation of .94 (R² .88). `params` and `flops` (millions) are
    sums over the edges of the cells, and exact.

    References: Zela et al., NAS-Bench-301, ICLR 2022, arXiv 2008.09777.
    """

    by_formula = tuple(_UNITS)
    formulas = "sums over edges"
    reference = "Zela et al., NAS-Bench-301, ICLR 2022, arXiv 2008.09777"
    notes = (
        "for comparing methods on a large space: a linear model of a surrogate's predictions, and no accuracy",
        "fitted to 1,218 cells of the sample nasbench301/cifar10; of those left out it predicts the order with a "
        "Spearman correlation of .94",
        "the highest value it was fitted to is 94.5 %, what is above is extrapolated; hill climbing found 96.146 %",
        "methods that see counts of operations (gp_bo, po_nas) have a model that suits it",
    )

    def __init__(self, name: str, feedback: str) -> None:
        """Raises `MissingDataError` when the data set ``nasbench301_sample`` has not been fetched."""
        darts = cast(DARTSSpace, spaces.get("darts"))
        read = table("nasbench301_sample", name).read(["arch", "surrogate_val", "params_m", "flops_m"])
        sample = [darts.from_naslib(*integers(text)) for text in read["arch"]]
        told = Feedback(
            feedback,
            "CIFAR-10",
            "validation",
            "98 (predicted)",
            "a linear model of a surrogate's predictions",
            "NASLib (Apache-2.0)",
        )
        super().__init__(name, darts, Metric("predicted validation accuracy"), told, _UNITS)
        self._encoder = NGramEncoder(darts, sample, 2)
        counts = self._encoder.references.toarray()
        self._counted = (counts > 0).sum(axis=0) >= _LEAST
        self._intercept, self._weights = _ridge(counts[:, self._counted], read["surrogate_val"])
        edges = _edges(sample)
        self._sizes = {size: np.linalg.lstsq(edges, read[f"{size}_m"], rcond=None)[0] for size in _UNITS}

    def signal(self, architectures: Sequence[Architecture]) -> F64:
        """The predicted accuracies (n,) in %."""
        counts: F64 = self._encoder(architectures).toarray()[:, self._counted]
        found: F64 = self._intercept + counts @ self._weights
        return found.round(_DECIMALS)

    def size(self, name: str, architectures: Sequence[Architecture]) -> F64:
        """Parameters or multiply-accumulates (n,) in millions, of the networks of NAS-Bench-301."""
        found: F64 = _edges(architectures) @ self._sizes[name]
        return found.round(_DECIMALS)


def _ridge(features: F64, targets: F64) -> tuple[float, F64]:
    """Intercept and weights of a ridge regression whose penalty is on standardised features."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    z, level = (features - mean) / scale, float(targets.mean())
    weights = np.linalg.solve(z.T @ z + _PENALTY * np.eye(z.shape[1]), z.T @ (targets - level)) / scale
    return level - float(mean @ weights), weights


def _edges(architectures: Sequence[Architecture]) -> F64:
    """How often each operation occurs in each cell (n, features), on its inputs and between its nodes.

    On an input of the reduction cell operations have stride 2.
    """
    found = np.zeros((len(architectures), 2, 2, len(DARTSSpace.operations)))
    for row, architecture in enumerate(architectures):
        for cell, nodes in enumerate(architecture.code):
            for node in nodes:
                for source, operation in node:
                    found[row, cell, int(source < 2), operation] += 1
    return found.reshape(len(architectures), -1)


def load(task: str, feedback: str) -> DARTSLinear:
    """The task cifar10; feedback `full` only.

    Raises `MissingDataError` when the data set ``nasbench301_sample`` has not been fetched.
    """
    return DARTSLinear(f"darts_linear/{task}", feedback)
