"""The score that signed weights make of metrics."""

from __future__ import annotations

import torch

__all__ = ["fused_score"]

_SMALLEST = 1e-8
_MIDDLE = 0.5


def fused_score(weights: torch.Tensor, z: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Scores (…, k): Σ relu(w) z + relu(-w) (1 - z) over the metrics that are present, |w| summing to 1 over them.

    `weights` (…, k, K) are signed, `z` (k, K) metrics in [0, 1], `present` (k, K) bool says which are known; what `z`
    holds elsewhere, NaN included, is not read. Scores are in [0, 1]; metrics outside of it are kept as they are, and
    then scores may leave it too. An architecture without any metric or weight gets 0.5, the middle.

    Reference: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS
    2025, OpenReview mVh0lIsdUl.
    """
    z = torch.where(present, z, 0.0)
    weights = weights * present
    # relu(w) z + relu(-w) (1 - z) is w z + relu(-w).
    total = (weights * z + (-weights).relu()).sum(-1)
    size = weights.abs().sum(-1)
    return torch.where(size > _SMALLEST, total / size.clamp_min(_SMALLEST), _MIDDLE)
