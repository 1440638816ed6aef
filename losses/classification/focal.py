"""The focal loss, which weighs down what is classified well already."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from losses.classification.base import ClassificationLoss
from losses.classification.functions import EPSILON

__all__ = ["Focal"]


class Focal(ClassificationLoss):
    """L = -scale · Σ_c y_c (1 - p_c)^gamma log p_c ("Focal Loss for Dense Object Detection", arXiv 1708.02002)."""

    gamma: float
    scale: float | None

    def per_sample(self, logits: Tensor, y: Tensor) -> Tensor:
        """From log-probabilities; 1 - p is kept from zero, where its power has no finite slope."""
        log_p = functional.log_softmax(logits, 1)
        rest = (-torch.expm1(log_p)).clamp_min(EPSILON)
        factor = 1 / _steepness(self.gamma) if self.scale is None else self.scale
        return -factor * (y * rest.pow(self.gamma) * log_p).sum(1)


def _steepness(gamma: float) -> float:
    """Slope after log p of the right class at p = 1 / 10; cross-entropy's is 1."""
    p = 0.1
    return float((1 - p) ** gamma - gamma * p * (1 - p) ** (gamma - 1) * math.log(p))
