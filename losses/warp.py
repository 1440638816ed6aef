"""WARP: hinge ranking in which an item's violations count less the more of them there are."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from losses.base import Context, Emphasis, Loss, own_generator
from losses.catalogue import BUILT_IN
from losses.metadata import LossSpec
from losses.pairs import by_falling_target, exponential_of_z, hinge_sum
from losses.ranks import better

__all__ = ["WARP", "WARPHomotopy"]


def partial_sums(n: int, alpha: float, like: Tensor) -> Tensor:
    """Φ(r) = Σ k^-alpha over k = 1 … r, for r = 0 … n: (n + 1,)."""
    powers = torch.arange(1, n + 1, dtype=torch.float64, device=like.device) ** -alpha
    return torch.cat([powers.new_zeros(1), powers.cumsum(0)]).to(like.dtype)


def exact(pred: Tensor, target: Tensor, margin: float, alpha: float, weights: Tensor) -> Tensor:
    """(1/n) Σᵢ weightᵢ · Φ(rankᵢ) · the mean violation of i, where rankᵢ counts the violators of i.

    A violator of i is a strictly worse j that i does not lead by the margin.
    """
    table = partial_sums(len(pred), alpha, pred)
    pred, target, weights = by_falling_target(pred, target, weights)

    def weigh(counts: Tensor, start: int) -> Tensor:
        # Counts of predictions that are not numbers are none either; the loss is to show it, not to fail.
        return weights[start : start + len(counts)] * table[counts.nan_to_num().long()] / counts.clamp_min(1)

    return hinge_sum(pred, target, margin, weigh) / len(pred)


def sampled(pred: Tensor, target: Tensor, margin: float, weights: Tensor, generator: torch.Generator) -> Tensor:
    """WSABIE's estimate: worse ones of i are tried in random order until the q-th violates; rankᵢ = ⌊worse / q⌋."""
    n, fixed = len(pred), pred.detach()
    worse = target.unsqueeze(1) > target
    violates = worse & (fixed.unsqueeze(1) - fixed < margin)
    turns = torch.rand((n, n), generator=generator, device=pred.device, dtype=pred.dtype)
    turn, first = turns.masked_fill(~violates, torch.inf).min(1)
    trials = (worse & (turns <= turn.unsqueeze(1))).sum(1)
    rank = worse.sum(1) // trials.clamp_min(1)
    table = partial_sums(n, 1.0, pred)
    return (weights * table[rank] * violates.any(1) * (margin - pred + pred[first])).mean()


class WARP(Loss):
    """Weighted approximate-rank pairwise loss: (1/n) Σᵢ wᵢ · Φ(rankᵢ) · violation of i, Φ(r) = 1 + 1/2 + … + 1/r.

    Mode ``exact`` counts the violators of i and takes their mean violation; it jumps where a pair meets the margin.
    Mode ``sampled`` is Weston's: one violator, found by trials, whose number estimates the rank. Ranks and weights are
    constants to the gradient. `weight` is a factor per item: none, ``gt`` (y) and ``exp_gt`` (exp y), both of
    accuracies in [0, 1], ``ranking`` (1 - (rank - 1)/n), or ``exp_z`` (exp(sharpness · z) of targets standardised in
    the batch, with mean 1). Exact: O(n²) time, O(n) memory; sampled: O(n²) both.
    """

    spec = BUILT_IN["warp"]
    margin: float
    mode: str
    weight: str
    sharpness: float

    @property
    def stochastic(self) -> bool:
        return self.mode == "sampled"

    def specialise(self, spec: LossSpec) -> LossSpec:
        """Weights made of accuracies need accuracies."""
        return dataclasses.replace(spec, labels="fraction") if self.weight in {"gt", "exp_gt"} else spec

    def weights(self, target: Tensor) -> Tensor:
        """The factor of each item of `target` (n,)."""
        if self.weight == "gt":
            return target
        if self.weight == "exp_gt":
            return target.exp()
        if self.weight == "ranking":
            return 1 - better(target).to(target.dtype) / len(target)
        if self.weight == "exp_z":
            weights = exponential_of_z(target, self.sharpness)
            return weights / weights.mean()
        return torch.ones_like(target)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        weights = self.weights(target)
        if self.mode == "sampled":
            return sampled(pred, target, self.margin, weights, own_generator(generator, pred.device))
        return exact(pred, target, self.margin, 1.0, weights)

    def importance(self, context: Context) -> Tensor:
        """The weights of an item's violations in falling order."""
        return torch.arange(1, max(2, context.evaluated), dtype=torch.float64, device="cpu") ** -1.0


class WARPHomotopy(Loss):
    """WARP with Φ(r) = Σ k^-alpha over k = 1 … r, divided by Φ(n) so that its scale does not depend on alpha.

    alpha = 0 is the sum of hinges over n², the pairwise hinge loss; alpha = 1 is `WARP`; beyond, only the first
    violation counts. So one number leads from ranking everything to ranking the top. O(n²) time, O(n) memory.
    """

    spec = BUILT_IN["warp_homotopy"]
    emphasis = Emphasis("alpha", 0.0, 1.0)
    margin: float
    alpha: float

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        scale = partial_sums(len(pred), self.alpha, pred)[-1]
        return exact(pred, target, self.margin, self.alpha, torch.ones_like(target)) / scale

    def importance(self, context: Context) -> Tensor:
        """The weights of an item's violations in falling order."""
        return torch.arange(1, max(2, context.evaluated), dtype=torch.float64, device="cpu") ** -self.alpha
