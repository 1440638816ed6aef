"""What losses that aim at the top of the list share."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Context, Emphasis, Loss
from losses.ranks import better, not_worse, top_size

__all__ = ["TopLoss", "may_be_rest", "may_be_top"]


class TopLoss(Loss):
    """A loss about the K = max(2, round(fraction · n)) best of the batch, at most n - 1."""

    emphasis = Emphasis("fraction", 0.5, 0.1)
    fraction: float

    def importance(self, context: Context) -> Tensor:
        """One for each member of the top: its size is the effective sample size."""
        size = max(1, top_size(context.evaluated, self.fraction))
        return torch.ones(size, dtype=torch.float32, device="cpu")


def may_be_top(target: Tensor, k: int) -> Tensor:
    """1 for each of `target` (n,) that belongs to the `k` best, or does when ties are broken in its favour."""
    return (better(target) < k).to(target.dtype)


def may_be_rest(target: Tensor, k: int) -> Tensor:
    """1 for each of `target` (n,) that is not among the `k` best, or is not when ties are broken against it."""
    return (not_worse(target) > k).to(target.dtype)
