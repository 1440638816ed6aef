"""The predicted top made soft: membership by a sigmoid around a threshold between the K-th and the next prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from losses.catalogue import BUILT_IN
from losses.ranks import better, top_share, top_size, usable
from losses.top import TopLoss

__all__ = ["SoftNK", "SoftTopK"]


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
        """Cross-entropy of soft and true membership, or 1 - the mean soft membership of the true top."""
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
        """The log of the expected best true rank among the predicted top K."""
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
