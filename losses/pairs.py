"""Losses of differences of predictions, summed over half the pairs, block by block, without an n × n matrix.

A pair (i, j) is used only when target i is strictly better; ties never make a pair. All functions here want their
vectors sorted by falling target, so that pairs lie above the diagonal. Time is O(n²), memory O(n).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from losses.base import Context, Emphasis, Loss
from losses.catalogue import BUILT_IN
from losses.ranks import not_worse, quantiles, usable

__all__ = ["HR", "LR", "DiffKendall", "WeightedLR", "by_falling_target", "exponential_of_z", "hinge_sum", "logistic"]
__all__ += ["pair_sum", "strictly_better"]

_PAIRS = {"cpu": 1 << 17}
"""Pairs handled at once. On a CPU larger temporaries leave its cache, smaller ones cost more in calls than in work."""

_PAIRS_ON_ACCELERATORS = 1 << 24

Curve = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A decreasing function of differences (r, c): its values and minus its derivatives. It may overwrite its argument."""

Weigh = Callable[[tuple[Tensor, ...], tuple[Tensor, ...]], Tensor]
"""The weights (r, c) of pairs from the vectors of the rows, each (r, 1), and of the columns, each (c,)."""


def by_falling_target(pred: Tensor, target: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """All vectors (n,) in the order of falling targets."""
    order = target.argsort(descending=True)
    return tuple(vector[order] for vector in (pred, target, *others))


def strictly_better(i: tuple[Tensor, ...], j: tuple[Tensor, ...]) -> Tensor:
    """Weight 1 where row's target, the first vector, is better than column's."""
    # A difference of floats is zero only between equals. Its sign is ten times as fast as a comparison into booleans.
    return (i[0] - j[0]).sign_().relu_()


def row_weighted(i: tuple[Tensor, ...], j: tuple[Tensor, ...]) -> Tensor:
    """The row's weight, the second vector, where row's target, the first, is better than column's."""
    return strictly_better(i, j).mul_(i[1])


def _blocks(vector: Tensor) -> Iterator[tuple[int, int]]:
    n = len(vector)
    rows = max(1, _PAIRS.get(vector.device.type, _PAIRS_ON_ACCELERATORS) // n)
    return ((start, min(start + rows, n)) for start in range(0, n, rows))


def _add_from(start: int, total: Tensor, part: Tensor) -> Tensor:
    return total + part if start == 0 else total + torch.cat([torch.zeros_like(total[:start]), part])


def hinge_sum(pred: Tensor, target: Tensor, margin: float, weigh: Callable[[Tensor, int], Tensor]) -> Tensor:
    """The sum over pairs of ``weight[i] · max(0, margin - pred[i] + pred[j])``, a scalar.

    `weigh` gets the numbers (r,) of violated pairs of consecutive rows, of which the first is given too, and returns
    the weights (r,); they are constants. Between two changes of the set of violated pairs the hinge is linear in the
    predictions, so that its gradient needs only row and column sums of that set.
    """
    fixed, target = pred.detach(), target.detach()
    columns, rows = torch.zeros_like(fixed), []
    for start, stop in _blocks(fixed):
        violated = (fixed[start:] - (fixed[start:stop] - margin).unsqueeze(1)).sign_().relu_()
        violated = violated * strictly_better((target[start:stop].unsqueeze(1),), (target[start:],))
        counts = violated.sum(1)
        weights = weigh(counts, start)
        rows.append(weights * counts)
        columns = _add_from(start, columns, weights @ violated)
    falling = torch.cat(rows)
    # A common offset cancels in exact arithmetic only.
    return margin * falling.sum() + ((pred - fixed.mean()) * (columns - falling)).sum()


def logistic(difference: Tensor) -> tuple[Tensor, Tensor]:
    """log(1 + exp(-d)), which never overflows."""
    size = difference.abs()
    z = (size * -math.log2(math.e)).exp2_()
    value = size.sub_(difference).mul_(0.5).add_(z.log1p())
    # The slope is 1 / (1 + exp(d)): its numerator is z for positive differences and 1 for the others.
    return value, torch.maximum(difference.neg_().sign_(), z).div_(z.add_(1))


def falling_sigmoid(difference: Tensor) -> tuple[Tensor, Tensor]:
    """1 - tanh(d) and minus its slope; `difference` is overwritten."""
    value = difference.mul_(-2).sigmoid_().mul_(2)
    return value, value * (2 - value)


class _PairSum(Function):
    # The gradient is computed together with the value and is all that is kept of the pairs.

    @staticmethod
    def forward(pred: Tensor, curve: Curve, weigh: Weigh, *vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        value, weight = torch.zeros_like(pred[:1]), torch.zeros_like(pred[:1])
        rows, columns = [], torch.zeros_like(pred)
        for start, stop in _blocks(pred):
            weights = weigh(tuple(v[start:stop].unsqueeze(1) for v in vectors), tuple(v[start:] for v in vectors))
            values, slopes = curve(pred[start:stop].unsqueeze(1) - pred[start:])
            value = value + values.mul_(weights).sum()
            weight = weight + weights.sum()
            slopes = slopes.mul_(weights)
            rows.append(slopes.sum(1))
            columns = _add_from(start, columns, slopes.sum(0))
        return value[0], weight[0], columns - torch.cat(rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[object, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(output[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (grad * slopes, None, None, *(None for _ in ctx.needs_input_grad[3:]))

    generate_vmap_rule = True


def pair_sum(pred: Tensor, curve: Curve, weigh: Weigh, *vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The sum over pairs of weight · ``curve(pred[i] - pred[j])``, and the sum of the weights, scalars.

    The weights come from `vectors` (n,) and are constants; they must be zero below the diagonal. The gradient is exact;
    a second derivative is an error.
    """
    value, weight, _ = _PairSum.apply(pred, curve, weigh, *(v.detach() for v in vectors))  # type: ignore[no-untyped-call]
    return value, weight


class HR(Loss):
    """Hinge ranking: the mean over strictly ordered pairs yᵢ > yⱼ of max(0, margin - (ŷᵢ - ŷⱼ)).

    With a linear last layer the margin only sets the scale of the outputs. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["hr"]
    margin: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        pairs = (len(target) - not_worse(target)).sum()
        pred, target = by_falling_target(pred, target)
        total = hinge_sum(pred, target, self.margin, lambda counts, _: torch.ones_like(counts))
        return total / pairs.clamp_min(1)


class LR(Loss):
    """Logistic ranking: the mean over strictly ordered pairs yᵢ > yⱼ of log(1 + exp(-(ŷᵢ - ŷⱼ)/temperature)).

    Known as RankNet and BPR too. Stable for differences of any size. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["lr"]
    temperature: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
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


class DiffKendall(Loss):
    """The mean over strictly ordered pairs yᵢ > yⱼ of 1 - tanh(slope · (ŷᵢ - ŷⱼ)), in [0, 2].

    It is one minus Kendall's τ of untied targets as the slope grows. Bounded: pairs that are far wrong pull no longer.
    O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["diff_kendall"]
    slope: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        pred, target = by_falling_target(self.slope * pred, target)
        total, pairs = pair_sum(pred, falling_sigmoid, strictly_better, target)
        return total / pairs.clamp_min(1)
