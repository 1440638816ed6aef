"""True ranks, quantiles and tops of a list of targets, and predicted positions; ties treated alike in any input order.

Everything has static shapes and no branch on values, so that it works under ``torch.func.vmap``.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["better", "not_worse", "positions", "quantiles", "tie_groups", "top_share", "top_size", "usable"]


def usable(target: Tensor) -> Tensor:
    """1 when `target` (n,) has two different values, else 0: no pair can be ordered then."""
    return (target.max() > target.min()).to(target.dtype)


def better(target: Tensor) -> Tensor:
    """How many of `target` (n,) are better than each; the true rank is one more."""
    return target.shape[0] - torch.searchsorted(target.sort().values, target, right=True)


def not_worse(target: Tensor) -> Tensor:
    """How many of `target` (n,) are as good as each or better, itself included."""
    return target.shape[0] - torch.searchsorted(target.sort().values, target)


def quantiles(target: Tensor) -> Tensor:
    """The share (n,) of the list that is not better than each, in (0, 1]; 1 for the best."""
    return 1 - better(target).to(target.dtype) / target.shape[0]


def top_size(n: int, fraction: float) -> int:
    """K = max(2, round(fraction · n)), but at most n - 1, so that a rest is left."""
    return min(max(2, round(fraction * n)), n - 1)


def top_share(target: Tensor, k: int) -> Tensor:
    """The probability (n,) that each is among the `k` best of `target` when ties are broken at random; sums to `k`."""
    above = better(target).to(target.dtype)
    group = not_worse(target).to(target.dtype) - above
    return ((k - above) / group).clamp(0, 1)


def tie_groups(*keys: Tensor) -> tuple[Tensor, Tensor]:
    """Runs of equal values in sorted `keys`, each (n,): every position's start of its run and the run's length."""
    n = keys[0].shape[0]
    index = torch.arange(n, device=keys[0].device)
    changes = torch.stack([key[1:] != key[:-1] for key in keys]).any(0)
    starts = torch.cat([index[:1], torch.where(changes, index[1:], 0)]).cummax(0).values
    return starts, torch.zeros_like(starts).scatter_add(0, starts, torch.ones_like(starts))[starts]


def positions(pred: Tensor, target: Tensor) -> Tensor:
    """Places (n,) in the order of predictions, 1 for the highest.

    Equal predictions are placed worst target first, so that a model gains nothing by predicting ties; those with equal
    targets as well share the mean of their places.
    """
    order = target.argsort(stable=True)
    order = order[pred[order].argsort(descending=True, stable=True)]
    starts, sizes = tie_groups(pred[order], target[order])
    places = starts.to(pred.dtype) + (sizes.to(pred.dtype) + 1) / 2
    return torch.zeros_like(pred).scatter(0, order, places)
