"""Regression of the target, alone and together with regression of its differences."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Loss, own_generator
from losses.catalogue import BUILT_IN
from losses.ranks import usable

__all__ = ["MSE", "MSESR"]


class MSE(Loss):
    """Mean squared error, (1/n) Σ (yᵢ - ŷᵢ)²."""

    spec = BUILT_IN["mse"]

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean squared error."""
        return (pred - target).square().mean()


class MSESR(Loss):
    """Mean squared error plus `weight` times the sequence-ranking term, which regresses differences.

    The term is the mean of |(ŷᵢ - ŷⱼ) - (yᵢ - yⱼ)|. Mode ``perm`` takes one partner per item, its image under a fresh
    random permutation, as in the paper; ``all`` takes all i ≠ j, which is the expectation of the other up to n/(n-1),
    without randomness and in O(n log n). The term is zero when all targets are equal. The default weight supposes
    targets of about unit variance.
    """

    spec = BUILT_IN["mse_sr"]
    weight: float
    mode: str

    @property
    def stochastic(self) -> bool:
        """Mode ``perm`` draws a permutation."""
        return self.mode == "perm"

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean squared error plus the weighted error of differences between items."""
        residual = pred - target
        if self.mode == "perm":
            n, device = len(pred), pred.device
            partner = torch.randperm(n, generator=own_generator(generator, device), device=device)
            term = permuted_differences(residual, partner)
        else:
            term = all_differences(residual)
        return residual.square().mean() + self.weight * usable(target) * term


def permuted_differences(residual: Tensor, partner: Tensor) -> Tensor:
    """The mean of |rᵢ - r_partner(i)| over `residual` (n,)."""
    return (residual - residual[partner]).abs().mean()


def all_differences(residual: Tensor) -> Tensor:
    """The mean of |rᵢ - rⱼ| over all i ≠ j of `residual` (n,), from its order statistics; 0 for one."""
    n = len(residual)
    # A common offset cancels in exact arithmetic only.
    rising = (residual - residual.detach().mean()).sort().values
    ranks = torch.arange(n, dtype=residual.dtype, device=residual.device)
    return 2 / max(1, n * (n - 1)) * ((2 * ranks - (n - 1)) * rising).sum()
