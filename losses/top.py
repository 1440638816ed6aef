"""Losses that aim at the top of the list: against its rest, softly, or as exchanges change a metric of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from losses.base import Context, Emphasis, Loss
from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target, logistic, pair_sum, strictly_better
from losses.ranks import better, not_worse, positions, quantiles, top_share, top_size, usable

__all__ = ["LambdaNDCG", "LambdaPrecision", "SoftNK", "SoftTopK", "TopLoss", "TopVersusRest"]


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


def top_and_rest(i: tuple[Tensor, ...], j: tuple[Tensor, ...]) -> Tensor:
    """Weight 1 where row may be of the top (second vector), column of the rest (third), and row is better (first)."""
    return strictly_better(i, j).mul_(i[1]).mul_(j[2])


class TopVersusRest(TopLoss):
    """The mean of log(1 + exp(-(ŷᵢ - ŷⱼ)/temperature)) over i in the top K of the batch and j in its rest.

    Ties at the border count on both sides, and never against each other. The order within the top and within the rest
    is left open, so it needs enough top items to learn from: a schedule may widen the fraction when data are few.
    O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["top_vs_rest"]
    temperature: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        k = top_size(len(target), self.fraction)
        vectors = by_falling_target(pred / self.temperature, target, may_be_top(target, k), may_be_rest(target, k))
        total, pairs = pair_sum(vectors[0], logistic, top_and_rest, *vectors[1:])
        return total / pairs.clamp_min(1)


def membership_logits(pred: Tensor, k: int, temperature: float) -> Tensor:
    """Logits (n,) of being among the `k` highest of `pred` (n,), 1 ≤ k < n; they do not change with an offset."""
    falling = pred.sort(descending=True).values
    return (pred - (falling[k - 1] + falling[k]) / 2) / temperature


class SoftTopK(TopLoss):
    """Classification of the true top K by soft membership q = σ((ŷ - θ)/temperature), θ between the K-th and next ŷ.

    Mode ``bce`` is the mean cross-entropy of q and the true membership, ``precision`` is 1 - the mean of q over the
    true top. Targets tied at the border share their membership. O(n log n).
    """

    spec = BUILT_IN["soft_topk"]
    temperature: float
    mode: str

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        k = top_size(len(target), self.fraction)
        if k < 1:
            return pred.sum() * 0
        logits, share = membership_logits(pred, k, self.temperature), top_share(target, k)
        if self.mode == "bce":
            value = (softplus(logits) - share * logits).mean()
        else:
            value = 1 - (share * logits.sigmoid()).sum() / k
        return usable(target) * value


class SoftNK(TopLoss):
    """Differentiable N@K: the log of the expected best true rank among the predicted top K.

    With soft memberships q as in `SoftTopK`, drawn independently, the best true rank drawn has the expectation
    Σᵢ rᵢ qᵢ Π (1 - qⱼ) over the better j, plus (n + 1) Π (1 - qⱼ) over all j for an empty draw. Computed in logarithms
    throughout; O(n log n).
    """

    spec = BUILT_IN["soft_nk"]
    temperature: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        n = len(target)
        k = top_size(n, self.fraction)
        if k < 1:
            return pred.sum() * 0
        order = target.argsort(descending=True)
        logits = membership_logits(pred, k, self.temperature)[order]
        ranks = better(target)[order].to(pred.dtype) + 1
        missed = logsigmoid(-logits).cumsum(0)
        # Tied ones share a rank, and in which order their first hit is looked for does not matter.
        missed_before = torch.cat([missed.new_zeros(1), missed[:-1]])
        terms = ranks.log() + logsigmoid(logits) + missed_before
        return usable(target) * torch.cat([terms, missed[-1:] + math.log(n + 1)]).logsumexp(0)


def _discount(place: Tensor) -> Tensor:
    return 1 / torch.log2(1 + place)


def _deltas(n: int, like: Tensor) -> Tensor:
    """δ by twice the distance of two places of a list of `n`, (2n,); the mean places of ties are halves."""
    distances = torch.arange(2, 2 * n, dtype=like.dtype, device=like.device) / 2
    return torch.cat([distances.new_zeros(2), _discount(distances) - _discount(distances + 1)])


class LambdaNDCG(TopLoss):
    """LambdaLoss for NDCG@K: the mean of logistic pairs under the weights |Gᵢ - Gⱼ| · δᵢⱼ · μᵢⱼ.

    G = 2^(gain · u) - 1 with u the rank quantile of the target (accuracies are too close for gains of their own); δ is
    the difference of the discounts 1/log₂(1 + x) at the distance of the two predicted places and one further; μ is 1
    when both places are within K, else 1/(1 - discount at the lower place). The weights are constants to the gradient.
    They are normalised by their sum, so the scale is that of `lr`. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["lambda_ndcg"]
    gain: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        n = len(target)
        k = top_size(n, self.fraction)
        places = positions(pred.detach(), target)
        factors = torch.where(places <= k, 1.0, 1 / (1 - _discount(places.clamp_min(1.5))))

        def weigh(i: tuple[Tensor, ...], j: tuple[Tensor, ...]) -> Tensor:
            apart = i[2] - j[2]
            # Made here, because a tensor from outside is not allowed in a function of its own gradient.
            deltas = _deltas(n, apart)
            delta = deltas.index_select(0, (2 * apart.abs()).long().reshape(-1)).view_as(apart)
            row_is_lower = apart.sign_().relu_()
            factor = row_is_lower.mul_(i[3] - j[3]).add_(j[3])
            return strictly_better(i, j) * delta.mul_(factor).mul_(i[1] - j[1])

        gains = torch.exp2(self.gain * quantiles(target)) - 1
        vectors = by_falling_target(pred, target, gains, places, factors)
        total, weight = pair_sum(vectors[0], logistic, weigh, *vectors[1:])
        return total / weight.clamp_min(1e-12)


class LambdaPrecision(TopLoss):
    """LambdaLoss for Precision@K, plus `epsilon` times `lr`.

    The mean over pairs of the true top and the true rest of the logistic loss, but only of pairs whose exchange would
    change Precision@K: exactly one of the two is predicted among the K best. Nothing is left of it once the predicted
    top is right, hence the second term. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["lambda_precision"]
    epsilon: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        n = len(target)
        k = top_size(n, self.fraction)
        chosen = (positions(pred.detach(), target) < k + 0.75).to(pred.dtype)
        pairs = (n - not_worse(target)).sum().clamp_min(1).to(pred.dtype)

        def weigh(i: tuple[Tensor, ...], j: tuple[Tensor, ...]) -> Tensor:
            change = i[1] * j[2] * (i[3] - j[3]).abs() / max(1, k * (n - k))
            return strictly_better(i, j) * (change + i[4])

        share = (self.epsilon / pairs).expand_as(pred)
        tops = may_be_top(target, k), may_be_rest(target, k)
        vectors = by_falling_target(pred, target, *tops, chosen, share)
        return pair_sum(vectors[0], logistic, weigh, *vectors[1:])[0]
