"""Pairwise hinge ranking."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Loss
from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target, hinge_sum
from losses.ranks import not_worse

__all__ = ["HR"]


class HR(Loss):
    """Hinge ranking: the mean over strictly ordered pairs yᵢ > yⱼ of max(0, margin - (ŷᵢ - ŷⱼ)).

    With a linear last layer the margin only sets the scale of the outputs. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["hr"]
    margin: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean hinge over all pairs with different targets."""
        pairs = (len(target) - not_worse(target)).sum()
        pred, target = by_falling_target(pred, target)
        total = hinge_sum(pred, target, self.margin, lambda counts, _: torch.ones_like(counts))
        return total / pairs.clamp_min(1)
