"""Absolute error relative to the distance from a lower bound."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.base import Context, Emphasis, Loss
from losses.catalogue import BUILT_IN

__all__ = ["MAPE"]


class MAPE(Loss):
    """Mean absolute percentage error of the error above a lower bound: (1/n) Σ |ŷᵢ - yᵢ| / (eᵢ - b), e = 1 - y.

    The closer an architecture's error e to the bound b, the more it weighs. `lower_bound` fixes b (BANANAS: 0.045, fit
    for CIFAR-10 alone). By default b = rho · the smallest training error once bound, and of the batch otherwise, and at
    least `floor` below it. `exponent` is the power of (e - b): 0 is the mean absolute error.
    """

    spec = BUILT_IN["mape"]
    emphasis = Emphasis("exponent", 0.0, 1.0)
    lower_bound: float | None
    rho: float
    floor: float
    exponent: float
    smallest: float | None

    def check(self, target: Tensor) -> None:
        """Besides the rest, a given bound must lie below every error."""
        super().check(target)
        if self.lower_bound is not None:
            target = target.detach().reshape(-1)
            complaint = (
                f"an error of {1 - float(target.max()):g} at best, not above lower_bound={self.lower_bound:g}; "
                "lower the bound, or leave it out to derive it from the training data"
            )
            self._require(1 - target > self.lower_bound, target, complaint)

    def bound(self, error: Tensor) -> Tensor:
        """The bound b, a scalar, when `error` (n,) are the errors of the batch."""
        if self.lower_bound is not None:
            return error.new_tensor(self.lower_bound)
        smallest = error.min() if self.smallest is None else error.new_tensor(self.smallest)
        return torch.minimum(self.rho * smallest, smallest - self.floor)

    def weights(self, target: Tensor) -> Tensor:
        """The weights of `target` (n,)."""
        error = 1 - target
        return (error - self.bound(error)).clamp_min(self.floor) ** -self.exponent

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """The mean absolute error, each item times its `weights`."""
        return (self.weights(target) * (pred - target).abs()).mean()

    def bind(self, context: Context) -> MAPE:
        """Take the smallest training error, unless the bound is given."""
        if self.lower_bound is not None or self.smallest is not None or context.targets is None:
            return self
        self.check(context.targets)
        return self.replace(smallest=max(0.0, 1 - float(context.targets.max())))

    def importance(self, context: Context) -> Tensor:
        """The weights of the training targets."""
        if context.targets is None:
            raise ValueError("mape: the effective sample size needs the training targets; give Context their tensor")
        return self.weights(context.targets.detach().reshape(-1).double())
