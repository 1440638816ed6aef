"""The predictors of HW-GPT-Bench from public files: small networks for five quantities at three scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.store import Column, Read, numbers
from po_nas.benchmarks.data.torch_files import read_torch_weights
from po_nas.errors import DataError
from po_nas.spaces.hwgpt import SCALES, Scale

__all__ = ["PREDICTED", "Predictor", "columns", "perplexity_features", "size_features"]

PREDICTED = {
    "perplexity": "",
    "params": "million",
    "flops": "10^12",
    "float16_memory": "MB",
    "bfloat16_memory": "MB",
}
"""What is predicted, and its unit."""

_HIDDEN = (128, 128, 128, 128, 1)


def _widths(scale: Scale, quantity: str) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer of a predictor."""
    most = scale.layers[-1]
    first = 8 + 6 * most if quantity == "perplexity" else 3 + 2 * most
    return list(zip((first, *_HIDDEN[:-1]), _HIDDEN, strict=True))


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    ``<scale>_<quantity>`` holds the weights of a predictor: of each layer the matrix (outputs, inputs), row by row, and
    the biases; NaN behind the last.
    """
    flat = {}
    for name, scale in SCALES.items():
        for quantity in PREDICTED:
            file = f"hwgpt_{quantity}_{name}.{'pt' if quantity == 'perplexity' else 'pth'}"
            weights = read_torch_weights(read(file), file)
            parts = []
            for layer, (inputs, outputs) in enumerate(_widths(scale, quantity), 1):
                for kind, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                    part = weights[f"fc{layer}.{kind}"]
                    if part.shape != shape:
                        raise DataError(f"{file}: fc{layer}.{kind} has shape {part.shape}, expected {shape}")
                    parts.append(part.ravel())
            flat[f"{name}_{quantity}"] = np.concatenate(parts)
    longest = max(map(len, flat.values()))
    for name, values in flat.items():
        padded = np.full(longest, np.nan)
        padded[: len(values)] = values
        yield numbers(name, padded, "search" if name.endswith("perplexity") else "hardware")


@dataclass(frozen=True, eq=False)
class Predictor:
    """A small network: layers with ReLU between them.

    Attributes:
        layers: A matrix (outputs, inputs) and biases (outputs,) for each.
    """

    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]

    @classmethod
    def of(cls, scale: str, quantity: str, stored: NDArray[np.float64]) -> Predictor:
        """From a column of the converted data set."""
        layers, at = [], 0
        for inputs, outputs in _widths(SCALES[scale], quantity):
            matrix = stored[at : at + inputs * outputs].reshape(outputs, inputs)
            at += inputs * outputs
            layers.append((matrix, stored[at : at + outputs]))
            at += outputs
        return cls(tuple(layers))

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions (n,) for features (n, inputs)."""
        *hidden, (matrix, bias) = self.layers
        for inner, offset in hidden:
            features = np.maximum(features @ inner.T + offset, 0.0)
        found: NDArray[np.float64] = (features @ matrix.T + bias)[:, 0]
        return found


def perplexity_features(scale: Scale, config: Mapping[str, object]) -> NDArray[np.float64]:
    """What the predictor of perplexity sees, (8 + 6 · most layers,).

    One-hots: embedding, number of layers, the MLP ratio of each layer, the heads of each layer (empty for layers that
    there are not), biases or none.
    """
    most = scale.layers[-1]
    found = [*_one_hot(scale.embedding, config["embedding"]), *_one_hot(scale.layers, config["layers"])]
    for values, name in ((scale.mlp_ratio, "mlp_ratio"), (scale.heads, "heads")):
        chosen = _padded(config[name], most)
        found += [number for value in chosen for number in _one_hot(values, value)]
    return np.array([*found, *_one_hot((True, False), config["bias"])], dtype=np.float64)


def size_features(scale: Scale, config: Mapping[str, object]) -> NDArray[np.float64]:
    """What the predictors of sizes see, (3 + 2 · most layers,).

    Embedding, number of layers, MLP ratios, heads, each on a scale from 0 to 1, 0 for layers that there are not; last a
    1, whatever the biases: this is the encoding that the published predictors fit, not that of the published code.
    """
    most = scale.layers[-1]
    found = [_place(scale.embedding, config["embedding"]), _place(scale.layers, config["layers"])]
    for values, name in ((scale.mlp_ratio, "mlp_ratio"), (scale.heads, "heads")):
        found += [0.0 if value is None else _place(values, value) for value in _padded(config[name], most)]
    return np.array([*found, 1.0])


def _padded(values: object, count: int) -> list[object]:
    listed: list[object] = list(values)  # type: ignore[call-overload]
    return listed + [None] * (count - len(listed))


def _one_hot(values: tuple[int, ...], value: object) -> list[float]:
    return [float(other == value) for other in values]


def _place(values: tuple[int, ...], value: object) -> float:
    return (int(value) - values[0]) / (values[-1] - values[0])  # type: ignore[call-overload, no-any-return]
