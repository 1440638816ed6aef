"""Logistic pairs weighted by what exchanging the two would change in a metric of the top."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target, logistic, pair_sum, strictly_better
from losses.ranks import not_worse, positions, quantiles, top_size
from losses.top import TopLoss, may_be_rest, may_be_top

__all__ = ["LambdaNDCG", "LambdaPrecision"]


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
        """Logistic loss of pairs, weighted by the change in NDCG@k that swapping them makes."""
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
        """The logistic loss of pairs whose exchange changes Precision@K, plus `epsilon` times that of all pairs."""
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
