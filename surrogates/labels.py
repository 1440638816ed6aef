"""Targets on the scale that a loss wants, by the statistics of the training data alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from losses.base import Context, Loss

__all__ = ["Labels", "Scale", "clipped_scores", "impute_failures", "log_error_scale", "scaled", "standard_scale"]

_SMALLEST = 1e-8
"""Below this a standard deviation is taken for zero: all targets are equal."""
_OFFSET, _LOWEST = 0.3, -2.5
"""Of `log_error_scale`."""


@dataclass(frozen=True)
class Labels:
    """The training labels (n,) of a member and the loss bound to them.

    A network's raw output times `scale` plus `offset` is a prediction on the loss's scale. Fractions have the mean and
    standard deviation of the training labels there, which is a linear head initialised at the mean label; other losses
    take the raw output.
    """

    values: torch.Tensor
    loss: Loss
    offset: float
    scale: float


def scaled(targets: torch.Tensor, loss: Loss, budget: int | None) -> Labels:
    """Labels for targets (n,), higher = better, of any scale for ``standardized`` and ``order`` losses.

    ``fraction`` losses get the targets as they are, and raise their `LossInputError` when these are not fractions.
    """
    values = _on_scale(targets, loss)
    loss.check(values)
    bound = loss.bind(Context(len(values), values, budget))
    if bound.spec.labels != loss.spec.labels:
        # The stage has been chosen; only its own scale is still missing.
        values = _on_scale(targets, bound)
        bound = bound.bind(Context(len(values), values, budget))
    bound.check(values)
    if bound.spec.labels != "fraction":
        return Labels(values, bound, 0.0, 1.0)
    return Labels(values, bound, float(values.mean()), float(values.std(correction=0).clamp_min(_SMALLEST)))


def _on_scale(targets: torch.Tensor, loss: Loss) -> torch.Tensor:
    if loss.spec.labels == "fraction":
        return targets.float()
    exact = targets.double()
    return ((exact - exact.mean()) / exact.std(correction=0).clamp_min(_SMALLEST)).float()


def impute_failures(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n,), higher is better, of which failed evaluations (not finite) get the lowest that is finite."""
    finite = np.isfinite(scores)
    return np.where(finite, scores, scores[finite].min())


def clipped_scores(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard scores (n,) of a signal (n,); what is farther below the median than twice the best is above it is cut.

    Where trainings collapse, the distances between bad and very bad results would hide those between good ones.
    """
    middle = float(np.median(signal))
    cut = np.maximum(signal, middle - 2.0 * (signal.max() - middle))
    if cut.max() == cut.min():
        # More than half of the values are the best one.
        cut = signal
    return np.asarray((cut - cut.mean()) / (cut.std() or 1.0), dtype=np.float64)


@dataclass(frozen=True)
class Scale:
    """Targets of a Gaussian process, and the way between them and the values that they stand for.

    Attributes:
        targets: Of the n values that the scale was made for (n,).
        forward: The target of any value; it never falls as the value rises.
        inverse: The values of targets of any shape.
    """

    targets: NDArray[np.float64]
    forward: Callable[[float], float]
    inverse: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def log_error_scale(y: NDArray[np.float64]) -> Scale:
    """For values (n,), higher = better: minus the logarithm of the distance to the best, standardised.

    Accuracies have a long tail of failures and a dense top. Distances are in interquartile ranges, plus 0.3 so that
    the noise at the top is not blown up as ranks would; what is 2.5 deviations below the mean is no worse than that.
    """
    quartiles = np.percentile(y, [25, 75])
    spread = float(quartiles[1] - quartiles[0]) or float(np.ptp(y)) or 1.0
    top = y.max()
    found = -np.log((top - y) / spread + _OFFSET)
    mean, deviation = found.mean(), found.std() or 1.0

    def forward(value: float) -> float:
        distance = (top - value) / spread + _OFFSET
        return float(max((-np.log(distance) - mean) / deviation, _LOWEST)) if distance > 0 else np.inf

    def inverse(targets: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(top - spread * (np.exp(-(targets * deviation + mean)) - _OFFSET), dtype=np.float64)

    return Scale(np.asarray(np.maximum((found - mean) / deviation, _LOWEST), dtype=np.float64), forward, inverse)


def standard_scale(y: NDArray[np.float64]) -> Scale:
    """Standard scores of values (n,)."""
    mean, deviation = float(y.mean()), float(y.std()) or 1.0
    return Scale((y - mean) / deviation, lambda value: (value - mean) / deviation, lambda t: mean + deviation * t)
