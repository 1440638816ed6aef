"""Targets on the scale that a loss wants, by the statistics of the training data alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from losses.base import Context, Loss

__all__ = ["Labels", "clipped_scores", "impute_failures", "scaled"]

_SMALLEST = 1e-8
"""Below this a standard deviation is taken for zero: all targets are equal."""


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

    ``fraction`` losses get the targets as they are, and raise their own ValueError when these are not fractions.
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
