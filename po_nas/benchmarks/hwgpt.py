"""HW-GPT-Bench: perplexity of decoder-only language models of three scales, predicted, beside their sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.base import Described, Description, Feedback
from po_nas.benchmarks.data import table
from po_nas.benchmarks.data.hwgpt import PREDICTED, Predictor, perplexity_features, size_features
from po_nas.core.objective import Metric, Outcome
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture, Space
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


class HWGPTBenchmark(Described):
    """One scale of HW-GPT-Bench.

    The search signal is the perplexity that the published predictor gives, lower = better, for every architecture of
    the space; there is nothing else to report. `params` (millions), `flops` (10^12, of a batch of the scale's size) and
    `memory` (MB) follow from formulas that the published predictors of these quantities approximate; `float16_memory`
    and `bfloat16_memory` (MB) are predictions.

    References: Sukthanker et al., HW-GPT-Bench, NeurIPS 2024 Datasets and Benchmarks, arXiv 2405.10299.
    """

    costs_known = False

    def __init__(self, scale: str, name: str, feedback: str) -> None:
        """Raises `MissingDataError` when the data set ``hwgpt`` has not been fetched."""
        self._scale, self._name = scale, name
        self._space = cast(HWGPTSpace, spaces.get(f"hwgpt_{scale}"))
        stored = table("hwgpt", name).read([f"{scale}_{quantity}" for quantity in PREDICTED])
        self._predictors = {q: Predictor.of(scale, q, stored[f"{scale}_{q}"]) for q in PREDICTED}
        self.feedback = Feedback(
            feedback,
            "OpenWebText",
            "held-out texts (validationnas)",
            "not stated",
            "a surrogate's prediction",
            "HW-GPT-Bench (Apache-2.0)",
        )

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def space(self) -> Space:
        """The whole space of the scale."""
        return self._space

    @property
    def metric(self) -> Metric:
        """Perplexity, lower = better."""
        return Metric("perplexity", "", maximize=False)

    @property
    def units(self) -> Mapping[str, str]:
        """What else is known of every architecture, by name, and its unit."""
        return _UNITS

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """`units` are known without an evaluation, and less of them is better."""
        return {name: Metric(name, unit, maximize=False, known=True) for name, unit in _UNITS.items()}

    @property
    def distinct(self) -> int | None:
        """The size of the space."""
        return self._space.size

    @cached_property
    def proxies(self) -> ProxySource:
        """Parameters, operations and memory by formula: larger is expected to be better."""
        return _Sizes(self)

    def evaluate(self, architecture: Architecture, *, seed: int = 0, fidelity: float | None = None) -> Outcome:
        """The prediction; `seed` is not used, and there is one fidelity."""
        self._space.validate(architecture)
        return Outcome.ok(float(self.predicted([architecture], "perplexity")[0]))

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

    def known(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Values (n,) of some of `units` of n architectures, by name; `UnknownNameError` for another name."""
        found = {}
        for name in names:
            if name not in _UNITS:
                raise UnknownNameError(f"quantity of {self.name}", name, _UNITS)
            if name in _FORMULAS:
                found[name] = np.array([self._by_formula(name, architecture) for architecture in architectures])
            else:
                found[name] = self.predicted(architectures, name)
        return found

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

    def report(self, architecture: Architecture) -> Mapping[str, float | None]:
        """No test value, and `units`."""
        self._space.validate(architecture)
        found = self.known([architecture], tuple(_UNITS))
        return {"test": None} | {name: float(values[0]) for name, values in found.items()}

    def protocol(self) -> Mapping[str, Any]:
        """Feedback, pool and direction."""
        return {
            "benchmark": self.name,
            **self.feedback.protocol(),
            "report": _REPORT,
            "pool": "the whole space",
            "pool_size": self._space.size,
        }

    def describe(self) -> Description:
        """Everything there is to say about the task."""
        scale = SCALES[self._scale]
        own = (
            f"flops are those of a batch of {scale.batch} texts of {CONTEXT:,} words: do not compare those of scales",
            f"lowest perplexity that hill climbing found: {_LOWEST[self._scale]}; the lowest there is is not known",
        )
        return Description(
            name=self.name,
            space=self._space.name,
            metric=self.metric,
            feedback=self.feedback,
            report=_REPORT,
            architectures=self._space.size or 0,
            pool="the whole space",
            optimum_validation=None,
            optimum_test=None,
            ceiling_test=None,
            ceiling_test_rank=None,
            spearman=None,
            spearman_top_tenth=None,
            cost="unknown",
            reference=self._space.reference,
            notes=(*_NOTES, *own),
            extras=tuple(_UNITS.items()),
        )


_REPORT = "none: there is nothing beside the prediction"


class _Sizes(ProxySource):
    """Quantities that follow from formulas."""

    def __init__(self, benchmark: HWGPTBenchmark) -> None:
        self._benchmark = benchmark

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(_FORMULAS)

    @property
    def origin(self) -> str:
        return "formulas of HW-GPT-Bench"

    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        return self._benchmark.known(architectures, names)


def load_small(task: str, feedback: str) -> HWGPTBenchmark:
    """The scale s; feedback `full` only. Raises `MissingDataError` when the data set ``hwgpt`` has not been fetched."""
    return HWGPTBenchmark("s", f"hwgpt_s/{task}", feedback)


def load_medium(task: str, feedback: str) -> HWGPTBenchmark:
    """The scale m, as `load_small`."""
    return HWGPTBenchmark("m", f"hwgpt_m/{task}", feedback)


def load_large(task: str, feedback: str) -> HWGPTBenchmark:
    """The scale l, as `load_small`."""
    return HWGPTBenchmark("l", f"hwgpt_l/{task}", feedback)
