"""The top of the list against its rest."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.catalogue import BUILT_IN
from losses.pairs import by_falling_target, logistic, pair_sum, strictly_better
from losses.ranks import top_size
from losses.top import TopLoss, may_be_rest, may_be_top

__all__ = ["TopVersusRest", "top_and_rest"]


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
        """Mean logistic loss over all pairs of a top item and another."""
        k = top_size(len(target), self.fraction)
        vectors = by_falling_target(pred / self.temperature, target, may_be_top(target, k), may_be_rest(target, k))
        total, pairs = pair_sum(vectors[0], logistic, top_and_rest, *vectors[1:])
        return total / pairs.clamp_min(1)
