"""Kendall's rank correlation made differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Loss
from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target, falling_sigmoid, pair_sum, strictly_better

__all__ = ["DiffKendall"]


class DiffKendall(Loss):
    """The mean over strictly ordered pairs yᵢ > yⱼ of 1 - tanh(slope · (ŷᵢ - ŷⱼ)), in [0, 2].

    It is one minus Kendall's τ of untied targets as the slope grows. Bounded: pairs that are far wrong pull no longer.
    O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["diff_kendall"]
    slope: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean of a falling sigmoid of the difference over all pairs with different targets."""
        pred, target = by_falling_target(self.slope * pred, target)
        total, pairs = pair_sum(pred, falling_sigmoid, strictly_better, target)
        return total / pairs.clamp_min(1)
