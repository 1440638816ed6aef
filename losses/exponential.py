"""Squared error with weights that grow exponentially with the accuracy."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from losses.base import Context, Emphasis, Loss
from losses.catalogue import BUILT_IN
from losses.metadata import LossSpec
from po_nas.errors import ConfigError

__all__ = ["EW"]


class EW(Loss):
    """Exponentially weighted squared error, (1/n) Σ w(yᵢ) (yᵢ - ŷᵢ)².

    The weight is exp((y-1)/T) (mode ``exp``; the paper's with T = 1), expm1(y/T)/expm1(1/T) (``expm1``; BONAS' own for
    T = 1), or exp((y-best)/T) (``best``), where best is the best target of the training data once bound, and of the
    batch otherwise. On accuracies T = 1 gives an effective sample size of 0.99 n, hardly different from plain squared
    error; a few hundredths are needed to see the top.
    """

    spec = BUILT_IN["ew"]
    emphasis = Emphasis("temperature", 10.0, 0.005)
    mode: str
    temperature: float
    labels: str
    best: float | None

    def specialise(self, spec: LossSpec) -> LossSpec:
        """Standardised targets are allowed where one asks for them."""
        if self.labels == "standardized" and self.mode == "expm1":
            raise ConfigError("ew.mode", self.mode, "needs targets in [0, 1]; use exp or best with standardized labels")
        return dataclasses.replace(spec, labels="fraction" if self.labels == "fraction" else "standardized")

    def weights(self, target: Tensor) -> Tensor:
        """The weights of `target` (n,)."""
        if self.mode == "expm1":
            # expm1(y/T) / expm1(1/T), in a form that does not overflow for small T.
            one = target.new_tensor(1 / self.temperature)
            return ((target - 1) / self.temperature).exp() * (
                torch.expm1(-target / self.temperature) / torch.expm1(-one)
            )
        best: Tensor | float = 1.0
        if self.mode == "best":
            best = target.max() if self.best is None else self.best
        return ((target - best) / self.temperature).exp()

    def formula(self, pred: Tensor, target: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean squared error, each item weighted exponentially in its target."""
        return (self.weights(target) * (pred - target).square()).mean()

    def bind(self, context: Context) -> EW:
        """Take the best of the training targets, where the mode needs it."""
        if self.mode != "best" or self.best is not None or context.targets is None:
            return self
        self.check(context.targets)
        return self.replace(best=float(context.targets.max()))

    def importance(self, context: Context) -> Tensor:
        """The weights of the training targets."""
        if context.targets is None:
            raise ValueError("ew: the effective sample size needs the training targets; give Context their tensor")
        return self.weights(context.targets.detach().reshape(-1).double())
