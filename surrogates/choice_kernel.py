"""A kernel over named choices of any kind: each on its own, and all together, with scales that are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior
from torch.autograd.function import once_differentiable

__all__ = ["ChoiceKernel"]

_CACHED = 16_384
"""Numbers of an array that are worked on at a time."""


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
        # Fits ask for the covariances of these points again and again: for one half of a symmetric matrix.
        self._points = features.double()
        self._below = torch.tril_indices(len(features), len(features), -1).unbind()
        first, second = self._below
        self._apart = self._squares(self._points, self._points)[:, first, second]
        for number, apart in enumerate(self._apart):
            positive = apart[apart > 0]
            if len(positive):
                self._units[number] = positive.median()
        self._apart = self._apart / self._units[:, None]
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
    def scales(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Length scales (g,), amplitudes (g,) of the choices alone, and the amplitude (1,) of all together."""
        return self._value("lengthscales"), self._value("amplitudes"), self._value("joint")

    @scales.setter
    def scales(self, given: tuple[torch.Tensor, ...]) -> None:
        self.initialize(
            **{
                f"raw_{name}": getattr(self, f"raw_{name}_constraint").inverse_transform(value)
                for name, value in zip(("lengthscales", "amplitudes", "joint"), given, strict=True)
            }
        )

    @property
    def places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and columns below the diagonal of the covariance of the training points, in the order of `below`."""
        first, second = self._below
        return first, second

    def below(self, lengthscales: torch.Tensor, amplitudes: torch.Tensor, joint: torch.Tensor) -> torch.Tensor:
        """Covariances of the training points below the diagonal, under other scales."""
        return _sum(self._apart, lengthscales, amplitudes, joint)

    @property
    def variance(self) -> torch.Tensor:
        """Prior variance of every point ()."""
        return self._value("amplitudes").sum() + self._value("joint").sum()

    def _squares(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Squared distances (g, …, n, m) by choice, in squared units.

        Of differences, so that equal points are at distance 0 exactly: the rounding of products would become the unit
        of a choice that all training points have in common, and such distances are those of no points at all.
        """
        found = []
        if len(self._single):
            first, second = (x[..., self._single].movedim(-1, 0).contiguous() for x in (x1, x2))
            found.append((first.unsqueeze(-1) - second.unsqueeze(-2)).square())
        for columns in self._several:
            pairs = zip(x1[..., columns].unbind(-1), x2[..., columns].unbind(-1), strict=True)
            squares = [(a.unsqueeze(-1) - b.unsqueeze(-2)).square() for a, b in pairs]
            found.append(torch.stack(squares).sum(0, keepdim=True))
        together = found[0] if len(found) == 1 else torch.cat(found)
        return together / self._units.reshape(-1, *([1] * (together.dim() - 1)))

    def forward(self, x1: torch.Tensor, x2: torch.Tensor, diag: bool = False, **options: Any) -> torch.Tensor:
        """Covariances (…, n, m) of points (…, n, d) and (…, m, d); (…, n) of pairs if `diag`."""
        if diag:
            return self.variance.expand(x1.shape[:-1])
        scales = self.scales
        if not x1.requires_grad and torch.equal(x1, self._points) and torch.equal(x2, self._points):
            first, second = self._below
            found = torch.diag_embed(0.5 * self.variance.expand(len(x1)))
            found = found.index_put((first, second), _sum(self._apart, *scales))
            return found + found.mT
        if not torch.is_grad_enabled() and x1.dim() == 2:
            return self._of_candidates(x1, x2, *scales)
        squares = self._squares(x1, x2)
        return _sum(squares.flatten(1), *scales).reshape(squares.shape[1:])

    def _of_candidates(
        self, x1: torch.Tensor, x2: torch.Tensor, lengths: torch.Tensor, amplitudes: torch.Tensor, joint: torch.Tensor
    ) -> torch.Tensor:
        """Covariances (n, m), a few choices at a time, so that hardly anything leaves the cache of a processor."""
        scales = 1.0 / (lengths * self._units.sqrt())
        count = len(self._single)
        first, second = ((x[:, self._single] * scales[:count]).T.contiguous() for x in (x1, x2))
        found, total = x1.new_zeros(len(x1), len(x2)), x1.new_zeros(len(x1), len(x2))

        def add(squares: torch.Tensor, amplitudes: torch.Tensor) -> None:
            total.add_(squares.sum(0))
            found.view(-1).addmv_(_correlations(squares).flatten(1).mT, amplitudes)

        step = max(1, _CACHED // max(1, found.numel()))
        for start in range(0, count, step):
            part = slice(start, min(start + step, count))
            add((first[part, :, None] - second[part, None, :]).square_(), amplitudes[part])
        for number, columns in enumerate(self._several, count):
            apart = torch.cdist(
                x1[:, columns] * scales[number],
                x2[:, columns] * scales[number],
                compute_mode="donot_use_mm_for_euclid_dist",
            )
            add(apart.square_()[None], amplitudes[number : number + 1])
        return found + joint * _correlations(total.div_(len(scales)))


def _correlations(squares: torch.Tensor) -> torch.Tensor:
    """Matérn-5/2 of squared distances in length scales, which are overwritten."""
    far = squares.mul_(5.0).sqrt_()
    decay = far.neg().exp_()
    return torch.addcmul(far, far, far, value=1 / 3).add_(1.0).mul_(decay)


class _Sum(torch.autograd.Function):
    """The kernel of N pairs from their squared distances (g, N), with its derivatives in closed form.

    Tens of choices make these the largest arrays of a fit, and differentiation by torch would make a dozen of them.
    """

    @staticmethod
    def forward(
        ctx: Any, squares: torch.Tensor, lengthscales: torch.Tensor, amplitudes: torch.Tensor, joint: torch.Tensor
    ) -> torch.Tensor:
        scaled = squares / lengthscales.square()[:, None]
        values, slopes = torch.empty_like(scaled), torch.empty_like(scaled)
        for part in _parts(scaled):
            _matern(scaled[part], values[part], slopes[part])
        mean = scaled.mean(0)
        together, slope = torch.empty_like(mean), torch.empty_like(mean)
        _matern(mean, together, slope)
        ctx.save_for_backward(scaled, values, slopes, together, slope, lengthscales, amplitudes, joint)
        return torch.addmv(joint * together, values.mT, amplitudes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled, values, slopes, together, slope, lengthscales, amplitudes, joint = ctx.saved_tensors
        shared = joint * given * slope / len(scaled)
        alone = torch.cat([(slopes[part] * scaled[part]) @ given for part in _parts(scaled)])
        lengths = -2.0 * (amplitudes * alone + scaled @ shared) / lengthscales
        squares = None
        if ctx.needs_input_grad[0]:
            squares = torch.addcmul(shared, amplitudes[:, None] * given, slopes) / lengthscales.square()[:, None]
        return squares, lengths, values @ given, (given @ together).reshape(joint.shape)


def _sum(*given: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _Sum.apply(*given)  # type: ignore[no-untyped-call]
    return found


def _parts(arrays: torch.Tensor) -> list[slice]:
    """Rows that fit into the cache of a processor together."""
    rows = max(1, _CACHED // max(1, arrays.shape[1]))
    return [slice(start, start + rows) for start in range(0, len(arrays), rows)]


def _matern(squares: torch.Tensor, values: torch.Tensor, slopes: torch.Tensor) -> None:
    """Write Matérn-5/2 of squared distances in length scales, and its derivative in them."""
    far = (5.0 * squares).sqrt_()
    decay = far.neg().exp_()
    torch.addcmul(decay, far, decay, out=slopes)
    torch.addcmul(slopes, far.square_(), decay, value=1 / 3, out=values)
    slopes.mul_(-5 / 6)
