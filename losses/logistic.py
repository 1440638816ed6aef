"""Pairwise logistic ranking, plain and weighted to the top."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Context, Emphasis, Loss
from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target, logistic, pair_sum, row_weighted, strictly_better
from losses.ranks import quantiles, usable

__all__ = ["LR", "WeightedLR", "exponential_of_z"]


class LR(Loss):
    """Logistic ranking: the mean over strictly ordered pairs yᵢ > yⱼ of log(1 + exp(-(ŷᵢ - ŷⱼ)/temperature)).

    Known as RankNet and BPR too. Stable for differences of any size. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["lr"]
    temperature: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean logistic loss over all pairs with different targets."""
        pred, target = by_falling_target(pred / self.temperature, target)
        total, pairs = pair_sum(pred, logistic, strictly_better, target)
        return total / pairs.clamp_min(1)


class WeightedLR(Loss):
    """Logistic ranking with the weight of the better one on each pair: Σ wᵢ log(1 + exp(-(ŷᵢ - ŷⱼ))) / Σ wᵢ.

    w = exp(gamma · u), where u is the share of the batch that is not better (``quantile``) or the target standardised
    within the batch (``zscore``). gamma = 0 is `LR`. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["weighted_lr"]
    emphasis = Emphasis("gamma", 0.0, 50.0)
    gamma: float
    scale: str
    temperature: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Weighted mean of the logistic loss over all pairs with different targets."""
        if self.scale == "quantile":
            weights = (self.gamma * (quantiles(target) - 1)).exp()
        else:
            weights = exponential_of_z(target, self.gamma)
        pred, target, weights = by_falling_target(pred / self.temperature, target, weights)
        total, weight = pair_sum(pred, logistic, row_weighted, target, weights)
        # The best of the batch weighs 1, so 1 is exceeded as soon as there is a pair.
        return total / weight.clamp_min(1)

    def importance(self, context: Context) -> Tensor:
        """The weights; those of quantiles need no targets."""
        if self.scale == "zscore" and context.targets is not None:
            return exponential_of_z(context.targets.detach().reshape(-1).double(), self.gamma)
        rising = torch.arange(1, context.evaluated + 1, dtype=torch.float64, device="cpu") / context.evaluated
        return (self.gamma * (rising - 1)).exp()


def exponential_of_z(target: Tensor, sharpness: float) -> Tensor:
    """exp(sharpness · z) of the standardised `target` (n,), over its maximum."""
    centred = target - target.mean()
    # Equal targets differ by rounding when their mean is taken off.
    z = centred / centred.square().mean().sqrt().clamp_min(1e-8) * usable(target)
    return (sharpness * (z - z.max())).exp()
