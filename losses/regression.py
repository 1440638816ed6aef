"""Regression of the target: plain, with regression of its differences, or with weights that grow towards the best."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod

import torch
from torch import Tensor

from losses.base import Context, Emphasis, Loss, own_generator
from losses.catalogue import BUILT_IN
from losses.errors import LossInputError
from losses.metadata import Labels, LossSpec
from losses.ranks import usable
from po_nas.errors import ConfigError

__all__ = ["EW", "MAPE", "MSE", "MSESR"]


class MSE(Loss):
    """Mean squared error, (1/n) Σ (yᵢ - ŷᵢ)²."""

    spec = BUILT_IN["mse"]

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        return (pred - target).square().mean()


class MSESR(Loss):
    """Mean squared error plus `weight` times the sequence-ranking term, which regresses differences.

    The term is the mean of |(ŷᵢ - ŷⱼ) - (yᵢ - yⱼ)|. Mode ``perm`` takes one partner per item, its image under a fresh
    random permutation, as in the paper; ``all`` takes all i ≠ j, which is the expectation of the other up to n/(n-1),
    without randomness and in O(n log n). The term is zero when all targets are equal. The default weight supposes
    targets of about unit variance.
    """

    spec = BUILT_IN["mse_sr"]
    weight: float
    mode: str

    @property
    def stochastic(self) -> bool:
        return self.mode == "perm"

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        residual = pred - target
        if self.mode == "perm":
            n, device = len(pred), pred.device
            partner = torch.randperm(n, generator=own_generator(generator, device), device=device)
            term = permuted_differences(residual, partner)
        else:
            term = all_differences(residual)
        return residual.square().mean() + self.weight * usable(target) * term


def permuted_differences(residual: Tensor, partner: Tensor) -> Tensor:
    """The mean of |rᵢ - r_partner(i)| over `residual` (n,)."""
    return (residual - residual[partner]).abs().mean()


def all_differences(residual: Tensor) -> Tensor:
    """The mean of |rᵢ - rⱼ| over all i ≠ j of `residual` (n,), from its order statistics; 0 for one."""
    n = len(residual)
    # A common offset cancels in exact arithmetic only.
    rising = (residual - residual.detach().mean()).sort().values
    ranks = torch.arange(n, dtype=residual.dtype, device=residual.device)
    return 2 / max(1, n * (n - 1)) * ((2 * ranks - (n - 1)) * rising).sum()


class WeightedRegression(Loss):
    """Regression in which an item weighs by its target."""

    @abstractmethod
    def weights(self, target: Tensor) -> Tensor:
        """The weights of `target` (n,)."""

    def importance(self, context: Context) -> Tensor:
        if context.targets is None:
            raise LossInputError(
                self.name, "the effective sample size needs the training targets; give Context their tensor"
            )
        return self.weights(context.targets.detach().reshape(-1).double())


class EW(WeightedRegression):
    """Exponentially weighted squared error, (1/n) Σ w(yᵢ) (yᵢ - ŷᵢ)².

    The weight is exp((y-1)/T) (mode ``exp``; the paper's with T = 1), expm1(y/T)/expm1(1/T) (``expm1``; BONAS' own for
    T = 1), or exp((y-best)/T) (``best``), where best is the best target of the training data once bound, and of the
    batch otherwise. On accuracies T = 1 gives an effective sample size of 0.99 n, hardly different from plain squared
    error; a few hundredths are needed to see the top.

    Below T = 1 the weights of the other modes are relative to that of the best as well, once bound: a factor that all
    have in common would else be so small (1e-17 for T = .01 and a best accuracy of 60 %) that no optimiser sees them.
    """

    spec = BUILT_IN["ew"]
    emphasis = Emphasis("temperature", 10.0, 0.005)
    mode: str
    temperature: float
    labels: Labels
    best: float | None

    def specialise(self, spec: LossSpec) -> LossSpec:
        """Standardised targets are allowed where one asks for them."""
        if self.labels == "standardized" and self.mode == "expm1":
            raise ConfigError("ew.mode", self.mode, "needs targets in [0, 1]; use exp or best with standardized labels")
        return dataclasses.replace(spec, labels=self.labels)

    def weights(self, target: Tensor) -> Tensor:
        if self.best is not None:
            best = target.new_tensor(self.best)
        else:
            best = target.max() if self.mode == "best" else target.new_tensor(1.0)
        weights = ((target - best) / self.temperature).exp()
        if self.mode == "expm1":
            # expm1(y/T) / expm1(best/T), in a form that does not overflow for small T.
            weights = weights * (torch.expm1(-target / self.temperature) / torch.expm1(-best / self.temperature))
        return weights

    def importance(self, context: Context) -> Tensor:
        return super(EW, self.bind(context)).importance(context)

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        return (self.weights(target) * (pred - target).square()).mean()

    def bind(self, context: Context) -> EW:
        """Take the best of the training targets, where the mode or the temperature needs it."""
        relative = self.mode == "best" or self.temperature < 1
        if not relative or self.best is not None or context.targets is None:
            return self
        self.check(context.targets)
        best = float(context.targets.max())
        # Where all accuracies are 0, so are all weights of this mode.
        return self if self.mode == "expm1" and best <= 0 else self.replace(best=best)


class MAPE(WeightedRegression):
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
        error = 1 - target
        return (error - self.bound(error)).clamp_min(self.floor) ** -self.exponent

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        return (self.weights(target) * (pred - target).abs()).mean()

    def bind(self, context: Context) -> MAPE:
        """Take the smallest training error, unless the bound is given."""
        if self.lower_bound is not None or self.smallest is not None or context.targets is None:
            return self
        self.check(context.targets)
        return self.replace(smallest=max(0.0, 1 - float(context.targets.max())))
