"""A kernel over named choices of any kind: each on its own, and all together, with scales that are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior

__all__ = ["ChoiceKernel"]

_LEAST = 1e-20
"""Added to squared distances, whose square root has no derivative at zero."""


class ChoiceKernel(Kernel):  # type: ignore[misc]
    """k(a, b) = Σ_g s_g m(d_g / l_g) + s m(sqrt(mean_g d_g² / l_g²)), m the Matérn-5/2 correlation.

    d_g is the Euclidean distance of the columns of one choice (a place on a scale, a one-hot, the layers of a list), in
    units of its median between the training points. The sum learns which choices matter by themselves; the second term
    what only all together explain. Length scales l_g are shared by both, so a choice that does not matter drops out.

    Args:
        features: Training points (n, d).
        groups: Columns of each choice, (g,) lists of numbers below d.

    References: Duvenaud, Nickisch and Rasmussen, Additive Gaussian Processes, NeurIPS 2011, arXiv 1112.4394; Ru et al.,
    Bayesian Optimisation over Multiple Continuous and Categorical Inputs, ICML 2020, arXiv 1906.08878 (sums and
    products of kernels over mixed inputs).
    """

    has_lengthscale = False

    def __init__(self, features: torch.Tensor, groups: Sequence[Sequence[int]], **options: Any) -> None:
        super().__init__(**options)
        # Choices of one column each are computed at once.
        ordered = sorted((list(group) for group in groups), key=len)
        self._single = torch.tensor([group[0] for group in ordered if len(group) == 1], dtype=torch.long)
        self._several = [torch.tensor(group, dtype=torch.long) for group in ordered if len(group) > 1]
        count = len(ordered)
        self._units = torch.ones(count, dtype=torch.double)
        distances = self._squares(features.double(), features.double())
        upper = torch.triu_indices(len(features), len(features), 1)
        for number, apart in enumerate(distances[:, upper[0], upper[1]]):
            positive = apart[apart > 0]
            if len(positive):
                self._units[number] = positive.median()
        for name, size, median in (
            ("lengthscales", count, 0.0),
            ("amplitudes", count, math.log(0.5 / count)),
            ("joint", 1, math.log(0.5)),
        ):
            start = torch.full((size,), math.exp(median), dtype=torch.double)
            positive_only = Positive()
            self.register_parameter(f"raw_{name}", torch.nn.Parameter(positive_only.inverse_transform(start)))
            self.register_constraint(f"raw_{name}", positive_only)
            self.register_prior(f"{name}_prior", LogNormalPrior(median, 0.75), lambda m, name=name: m._value(name))

    def _value(self, name: str) -> torch.Tensor:
        found: torch.Tensor = getattr(self, f"raw_{name}_constraint").transform(getattr(self, f"raw_{name}"))
        return found

    @property
    def variance(self) -> torch.Tensor:
        """Prior variance of every point ()."""
        return self._value("amplitudes").sum() + self._value("joint").sum()

    def _squares(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Squared distances (g, …, n, m) by choice, in squared units."""
        found = []
        if len(self._single):
            first, second = x1[..., self._single], x2[..., self._single]
            found.append((first.unsqueeze(-2) - second.unsqueeze(-3)).square().movedim(-1, 0))
        for columns in self._several:
            first, second = x1[..., columns], x2[..., columns]
            products = first @ second.mT
            lengths = first.square().sum(-1).unsqueeze(-1) + second.square().sum(-1).unsqueeze(-2)
            found.append((lengths - 2.0 * products).clamp_min(0.0).unsqueeze(0))
        units = self._units.reshape(-1, *([1] * (found[0].dim() - 1)))
        return torch.cat(found) / units

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **options: Any) -> torch.Tensor:
        """Covariances (…, n, m) of points (…, n, d) and (…, m, d); (…, n) of pairs if `diag`."""
        if diag:
            return self.variance.expand(x1.shape[:-1])
        squares = self._squares(x1, x2)
        shape = (-1, *([1] * (squares.dim() - 1)))
        scaled = squares / self._value("lengthscales").square().reshape(shape)
        alone = (self._value("amplitudes").reshape(shape) * _matern(scaled)).sum(0)
        return alone + self._value("joint") * _matern(scaled.mean(0))


def _matern(squares: torch.Tensor) -> torch.Tensor:
    """Matérn-5/2 of squared distances in length scales."""
    far = (5.0 * squares + _LEAST).sqrt()
    return (1.0 + far + far.square() / 3.0) * (-far).exp()
