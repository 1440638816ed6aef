"""From members' outputs of arbitrary scale to means and standard deviations in the units of the targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from surrogates.base import Posterior

__all__ = ["Calibration", "folds"]

_LEAST_RESIDUAL = 0.1
"""Share of the held-out variance that disagreement never explains."""

_SMALLEST = 1e-12


@dataclass(frozen=True)
class Calibration:
    """An increasing affine map of standardised outputs to targets, and how wrong it was where it had not looked.

    An architecture's mean is ``offset + slope · (mean of the members)``. Its variance is `residual` plus ``weight``
    times the variance of the members there, in the units of the targets. `residual` and `weight` are such that the
    average variance is the mean squared error on held-out architectures. That error is one model's; the ensemble's mean
    is better, so intervals err on the wide side.
    """

    offset: float
    slope: float
    residual: float
    weight: float

    @classmethod
    def fit(cls, outputs: torch.Tensor, held_out: torch.Tensor, targets: torch.Tensor, members: int) -> Calibration:
        """Calibrate with standardised outputs (models, n) of all models on the n training architectures.

        `held_out` (models, n) tells which architectures a model was not trained on; the first `members` models are the
        ensemble. When no architecture was held out, the variance of the targets is all that is known.
        """
        outputs, targets = outputs.double(), targets.double()
        honest = bool(held_out.any(0).all())
        weights = held_out.double() if honest else torch.ones_like(outputs)
        own = (outputs * weights).sum(0) / weights.sum(0)
        centered, moved = own - own.mean(), targets - targets.mean()
        slope = float((centered @ moved / (centered @ centered).clamp_min(_SMALLEST)).clamp_min(0.0))
        offset = float(targets.mean()) - slope * float(own.mean())
        n = len(targets)
        if not honest:
            return cls(offset, slope, float(moved.square().sum() / (n - 1)), 0.0)
        error = float((targets - offset - slope * own).square().sum() / (n - 2))
        # What models disagree by on what they have not seen: the one held out against those of the ensemble that saw.
        seen = (~held_out[:members]).double()
        others = (outputs[:members] * seen).sum(0) / seen.sum(0)
        apart = slope**2 * float(((own - others).square() / (1 + 1 / seen.sum(0))).mean())
        weight = min(1.0, (1 - _LEAST_RESIDUAL) * error / max(apart, _SMALLEST)) if members > 1 else 0.0
        return cls(offset, slope, error - weight * apart, weight)

    def posterior(self, outputs: torch.Tensor) -> Posterior:
        """The posterior from the ensemble's standardised outputs (members, k)."""
        center = outputs.mean(0)
        spread = self.slope * self.weight**0.5
        mean = self.offset + self.slope * center
        samples = mean + spread * (outputs - center)
        shared = samples.var(0) if len(samples) > 1 else torch.zeros_like(mean)
        return Posterior(mean, (shared + self.residual).sqrt(), samples)


def folds(n: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """The fold (n,), from 0 to `count` - 1, of each of n architectures, of equal sizes to within one.

    With a generator of the same seed the folds of the first architectures do not change when others come behind them.
    """
    blocks = [torch.randperm(count, generator=generator) for _ in range(-(-n // count))]
    return torch.cat(blocks)[:n]
