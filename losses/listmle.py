"""The listwise likelihood of the true order."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Loss
from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target
from losses.ranks import tie_groups, usable

__all__ = ["ListMLE"]


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
