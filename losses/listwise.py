"""Losses of a whole list: the likelihood of the true order, and the three parts under which PO-NAS fuses scores."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from losses.base import Loss
from losses.catalogue import BUILT_IN
from losses.metadata import Labels, LossSpec
from losses.pairs import by_falling_target
from losses.ranks import tie_groups, usable

__all__ = ["PONAS", "ListMLE"]


class ListMLE(Loss):
    """ListMLE: the negative log-likelihood of the true order under the Plackett-Luce model of the scores, over n.

    Without ties it is (1/n) Σᵢ [logsumexp of the scores from the i-th best on - the i-th best's score]. Plackett-Luce
    knows no ties; those in the target are averaged over their orders by Efron's formula (The Efficiency of Cox's
    Likelihood Function for Censored Data, JASA 1977): when d of g tied ones have been drawn, a share d/g of the group's
    weight is gone. So the order of the input never matters. O(n log n), exact for scores of any size.
    """

    spec = BUILT_IN["listmle"]

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        pred, target = by_falling_target(pred, target)
        starts, sizes = tie_groups(target)
        index = torch.arange(len(pred), device=pred.device)
        left = pred.flip(0).logcumsumexp(0).flip(0)[starts]
        group = torch.zeros_like(pred).scatter_add(0, starts, (pred - left).exp())[starts]
        drawn = (index - starts).to(pred.dtype) / sizes.to(pred.dtype)
        return usable(target) * (left + torch.log1p(-drawn * group) - pred).mean()


_SMALLEST = 1e-12
"""Below this a sum of squares is taken for zero."""
_ALIKE = 1e-6
"""Differences whose standard deviation is below this share of their mean are all alike."""


class PONAS(Loss):
    """Correlation, alignment and direction: 1 - Pearson(ŷ, y) + `align` · L_align + `direction` · L_dir.

    Over all pairs, with the gaps s = ŷᵢ - ŷⱼ and t = yᵢ - yⱼ: L_dir is the mean of relu(-s t). L_align is the mean
    absolute difference of the standardised sizes of both gaps, where the sizes of pairs in the wrong order count as
    zero unless |t| is below `threshold`. Zero for predictions that are a rising affine function of the targets.

    With `labels` ``standardized`` both gaps of L_dir are divided by the standard deviations of predictions and targets,
    so that the loss depends on neither scale, and `threshold` is in standard deviations of the targets. With
    ``fraction`` it is the paper's: raw predictions, accuracies in percent, `threshold` in accuracy points, and a
    `direction` of 100 where none is given; its balance then depends on the scale of both. One deviation: standard
    deviations are those of the population, and gaps that are all alike (two architectures) are divided by their mean,
    for the sample's are not defined there. O(n²) time and memory.

    Reference: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS
    2025, OpenReview mVh0lIsdUl.
    """

    spec = BUILT_IN["po_nas"]
    align: float
    direction: float | None
    threshold: float
    labels: Labels

    def specialise(self, spec: LossSpec) -> LossSpec:
        return dataclasses.replace(spec, labels=self.labels)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        paper = self.labels == "fraction"
        weight = self.direction if self.direction is not None else (100.0 if paper else 1.0)
        if paper:
            target = 100 * target
        n = len(pred)
        predicted, true = pred - pred.mean(), target - target.mean()
        sizes = [one.square().sum().clamp_min(_SMALLEST).sqrt() for one in (predicted, true)]
        product = sizes[0] * sizes[1]
        correlation = 1 - (predicted * true).sum() / product

        s, t = pred.unsqueeze(1) - pred, target.unsqueeze(1) - target
        apart = 1 - torch.eye(n, dtype=pred.dtype, device=pred.device)
        pairs = max(n * (n - 1), 1)
        wrong = (-s * t).relu().sum() / pairs
        if not paper:
            # The product of both standard deviations is that of both norms over n.
            wrong = wrong * n / product
        right = ((t.abs() < self.threshold) | (s * t > 0)).to(pred.dtype)
        gaps = [_standardized(gap.abs(), right, apart, pairs) for gap in (s, t)]
        misaligned = ((gaps[0] - gaps[1]).abs() * apart).sum() / pairs

        total = correlation + self.align * misaligned + weight * wrong
        # Nothing to order; multiplied, so that broken predictions still show.
        return total * (target.max() > target.min())


def _standardized(gaps: Tensor, right: Tensor, apart: Tensor, pairs: int) -> Tensor:
    mean = gaps.sum() / pairs
    variance = ((gaps - mean).square() * apart).sum() / pairs
    spread = variance > (_ALIKE * mean).square()
    scale = torch.where(spread, variance.clamp_min(_SMALLEST**2).sqrt(), mean.clamp_min(_SMALLEST))
    return (gaps * right - mean) / scale
