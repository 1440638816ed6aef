"""HW-GPT-Bench: perplexity of decoder-only language models of three scales, predicted, beside their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.hwgpt import PREDICTED, Predictor, perplexity_features, size_features
from po_nas.benchmarks.predicted import PredictedBenchmark
from po_nas.core.objective import Metric
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture
from po_nas.spaces.hwgpt import CONTEXT, SCALES, VOCABULARY, HWGPTSpace

__all__ = ["HWGPTBenchmark", "load_large", "load_medium", "load_small"]

_OFFSET_MB = {"s": 16.0, "m": 25.0, "l": 55.0}
_LOWEST = {"s": 21.2373, "m": 20.6328, "l": 17.9836}
"""Lowest perplexities that hill climbing found, not proven to be the lowest."""
_FORMULAS = {"params": "millions", "flops": "10^12", "memory": "MB"}
_UNITS = _FORMULAS | {name: "MB" for name in PREDICTED if name.endswith("memory")}
_NOTES = (
    "everything is predicted: no measured table was published. Perplexity is that of parts of one trained network with "
    "shared weights, not of models trained alone",
    "the largest networks of the space are near the optimum: weigh perplexity against params, flops or memory",
    "params, flops and memory follow from formulas; they count biases, and feed-forward layers with three matrices",
    "the predictors of memory (float16_memory, bfloat16_memory) were fitted to random networks: for the smallest and "
    "largest of the space they are off, as those of params are by up to 41 %",
)


class HWGPTBenchmark(PredictedBenchmark):
    """One scale of HW-GPT-Bench.

    The search signal is the perplexity that the published predictor gives, lower = better, for every architecture of
    the space; there is nothing else to report. `params` (millions), `flops` (10^12, of a batch of the scale's size) and
    `memory` (MB) follow from formulas that the published predictors of these quantities approximate; `float16_memory`
    and `bfloat16_memory` (MB) are predictions.

    References: Sukthanker et al., HW-GPT-Bench, NeurIPS 2024 Datasets and Benchmarks, arXiv 2405.10299.
    """

    by_formula = tuple(_FORMULAS)
    formulas = "HW-GPT-Bench"

    def __init__(self, scale: str, name: str, feedback: str) -> None:
        """Raises `MissingDataError` when the data set ``hwgpt`` has not been fetched."""
        self._scale = scale
        self._space = cast(HWGPTSpace, spaces.get(f"hwgpt_{scale}"))
        stored = table("hwgpt", name).read([f"{scale}_{quantity}" for quantity in PREDICTED])
        self._predictors = {q: Predictor.of(scale, q, stored[f"{scale}_{q}"]) for q in PREDICTED}
        told = Feedback(
            feedback,
            "OpenWebText",
            "held-out texts (validationnas)",
            "not stated",
            "a surrogate's prediction",
            "HW-GPT-Bench (Apache-2.0)",
        )
        metric = Metric("perplexity", "", maximize=False)
        super().__init__(name, self._space, metric, told, _UNITS)
        self.reference = self._space.reference
        self.notes = (
            *_NOTES,
            f"flops are those of a batch of {SCALES[scale].batch} texts of {CONTEXT:,} words: do not compare those of "
            "scales",
            f"lowest perplexity that hill climbing found: {_LOWEST[scale]}; the lowest there is is not known",
        )

    def signal(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """The perplexities (n,) that the published predictor gives."""
        return self.predicted(architectures, "perplexity")

    def size(self, name: str, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """One of `units` (n,), by formula or predicted."""
        if name in _FORMULAS:
            return np.array([self._by_formula(name, architecture) for architecture in architectures])
        return self.predicted(architectures, name)

    def predicted(self, architectures: Sequence[Architecture], quantity: str) -> NDArray[np.float64]:
        """What a published predictor says (n,) of n architectures.

        Perplexity, or params (millions), flops (10^12), float16_memory or bfloat16_memory (MB), which are the same with
        and without biases. `UnknownNameError` for another quantity.
        """
        if quantity not in self._predictors:
            raise UnknownNameError(f"prediction of {self.name}", quantity, self._predictors)
        features = perplexity_features if quantity == "perplexity" else size_features
        scale = SCALES[self._scale]
        rows = [features(scale, self._space.config_of(architecture)) for architecture in architectures]
        return self._predictors[quantity](np.array(rows))

    def _by_formula(self, name: str, architecture: Architecture) -> float:
        config = self._space.config_of(architecture)
        width: int = config["embedding"]
        layers = list(zip(config["heads"], config["mlp_ratio"], strict=True))
        matrices: int = sum(256 * width * heads + 3 * width**2 * ratio for heads, ratio in layers)
        if name == "params":
            vectors: int = sum(192 * heads + 2 * width * (3 + ratio) for heads, ratio in layers)
            return (2 * VOCABULARY * width + 2 * width + matrices + vectors) / 1e6
        if name == "flops":
            return 2 * SCALES[self._scale].batch * CONTEXT * (VOCABULARY * width + matrices) / 1e12
        return (10 * VOCABULARY * width + 6 * matrices) / 1e6 + _OFFSET_MB[self._scale]


def load_small(task: str, feedback: str) -> HWGPTBenchmark:
    """The scale s; feedback `full` only. Raises `MissingDataError` when the data set ``hwgpt`` has not been fetched."""
    return HWGPTBenchmark("s", f"hwgpt_s/{task}", feedback)


def load_medium(task: str, feedback: str) -> HWGPTBenchmark:
    """The scale m, as `load_small`."""
    return HWGPTBenchmark("m", f"hwgpt_m/{task}", feedback)


def load_large(task: str, feedback: str) -> HWGPTBenchmark:
    """The scale l, as `load_small`."""
    return HWGPTBenchmark("l", f"hwgpt_l/{task}", feedback)
