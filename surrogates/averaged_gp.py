"""A Gaussian process that averages over its scales instead of choosing them, for tens of observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import gamma, qmc

from surrogates.pool_kernels import Component

__all__ = ["AveragedGP", "Mixture", "Priors", "Structure"]

_JITTER_NOISE = 1e-4
_SPREAD = (0.25, 0.4, 0.3)
"""How far the second round of settings strays from the first: log length scales, log shares, log noise."""
_NEGLIGIBLE = 1e-4
_ENOUGH = 8.0
"""Effective number of first-round settings at which the first round weighs as much as the second."""


@dataclass(frozen=True)
class Priors:
    """What is believed of the scales before there are data.

    Log length scales (in typical distances) are normal with mean 0 and standard deviation `length_scale`; the log noise
    variance, relative to the whole signal, with mean and deviation `noise`. Shares of the components are Dirichlet with
    concentration `concentration`: below 1, few components get most. `means` are the coefficients of the given mean
    function that are tried, equally likely. `draws` settings are drawn, `kept` of them predict.
    """

    length_scale: float = 0.75
    noise: tuple[float, float] = (-2.5, 1.25)
    concentration: float = 0.7
    means: tuple[float, ...] = (0.0, 0.3, 0.6)
    draws: int = 256
    kept: int = 6


@dataclass(frozen=True)
class Structure:
    """A hypothesis: the model has these components, and the mean function or not; `probability` is relative."""

    components: tuple[Component, ...]
    mean: bool
    probability: float


class _Scales(NamedTuple):
    """Settings of the kernel, s of them.

    Length scales and shares (s, c); noise, mean coefficients, and numbers of the structures (s,).
    """

    lengths: NDArray[np.float64]
    shares: NDArray[np.float64]
    noise: NDArray[np.float64]
    means: NDArray[np.float64]
    structure: NDArray[np.intp]

    def at(self, rows: NDArray[np.intp]) -> _Scales:
        return _Scales(self.lengths[rows], self.shares[rows], self.noise[rows], self.means[rows], self.structure[rows])


@dataclass(frozen=True)
class Mixture:
    """Predictions for m candidates under s settings of the scales.

    `weights` (s,) sum to 1; `means` and `variances` (s, m) are of the latent function; `dual` (s, n) are the
    coefficients of the observed candidates at `observed` in each mean. `shares` (c,) say how much of the prior variance
    each component is believed to have, `mean_share` how much of the given mean function is believed, `structures` (t,)
    how probable each structure is.
    """

    weights: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor
    dual: torch.Tensor
    observed: tuple[int, ...]
    shares: NDArray[np.float64]
    mean_share: float
    structures: NDArray[np.float64]
    noise: float
    scales: _Scales = field(repr=False)

    @property
    def mean(self) -> torch.Tensor:
        """Mean over the settings (m,)."""
        return self.weights @ self.means


class AveragedGP:
    """A sum of kernels over m candidates whose scales are averaged over by importance sampling.

    A likelihood of ten observations does not tell which description of an architecture to believe; its maximum picks
    one all the same. Here settings of the scales are drawn from the prior, weighed by their marginal likelihood (the
    overall variance integrated out under an inverse gamma prior, the constant mean profiled), refined once around the
    likely ones, and the predictions of `Priors.kept` settings drawn by weight are averaged. So are `structures`, which
    say what parts the model may have; without them it has all.

    `mean` (m,) is a function, of about unit variance, that is believed to a degree of its own: the prior mean is that
    degree times `mean`. With no observation the prediction is `mean` itself.
    """

    def __init__(
        self,
        components: Sequence[Component],
        mean: NDArray[np.float64] | None = None,
        priors: Priors | None = None,
        structures: Sequence[Structure] = (),
    ) -> None:
        self.components = tuple(components)
        structures = structures or (Structure(self.components, True, 1.0),)
        self._parts = np.array([[any(c is own for own in s.components) for c in components] for s in structures])
        self._with_mean = np.array([s.mean for s in structures])
        probable = np.array([s.probability for s in structures])
        self._probable = probable / probable.sum()
        self.mean = None if mean is None else torch.as_tensor(mean, dtype=torch.float64)
        self.priors = priors or Priors()
        if self.mean is None:
            self.priors = replace(self.priors, means=(0.0,))

    @torch.no_grad()
    def predict(
        self,
        observed: Sequence[int],
        targets: NDArray[np.float64],
        rng: np.random.Generator,
        pending: Sequence[int] = (),
    ) -> Mixture:
        """Predictions for all candidates, given `targets` (n,) of those at `observed`; about unit variance, n ≥ 2.

        Candidates at `pending` are taken to have been observed at their predicted mean, which lowers the variance
        near them and leaves means as they are.
        """
        fit = _Fit(self, observed, torch.as_tensor(targets, dtype=torch.float64))
        scales, weights = self._settings(fit, rng)
        drawn = rng.choice(len(weights), size=self.priors.kept, p=weights)
        chosen, counts = np.unique(drawn, return_counts=True)
        kept = scales.at(chosen)
        solved = fit.solve(kept)
        means, variances = [], []
        prepared = [component.columns([*observed, *pending]) for component in self.components]
        n = len(observed)
        for k in range(len(chosen)):
            cross, prior = self._cross(prepared, kept, k)
            mean = solved.constant[k] + cross[:, :n] @ solved.dual[k]
            if self.mean is not None:
                mean = mean + float(kept.means[k]) * self.mean
            factor = solved.factor[k]
            if pending:
                # Observing a mean changes no mean, so only the variance needs the longer factor.
                rows = [*observed, *pending]
                covariance = cross[rows]
                factor = torch.linalg.cholesky(covariance + float(kept.noise[k]) * torch.eye(len(rows)).double())
            explained = torch.linalg.solve_triangular(factor, cross.mT, upper=False).square().sum(0)
            means.append(mean)
            variances.append((prior - explained).clamp_min(1e-8) * solved.variance[k])
        return Mixture(
            torch.as_tensor(counts / counts.sum()),
            torch.stack(means),
            torch.stack(variances),
            solved.dual,
            tuple(observed),
            weights @ scales.shares,
            float(weights @ scales.means),
            np.bincount(scales.structure, weights, minlength=len(self._probable)).astype(np.float64),
            float(weights @ scales.noise),
            kept,
        )

    def _cross(
        self, prepared: Sequence[tuple[torch.Tensor, ...]], scales: _Scales, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Covariances (m, n) of all candidates with the observed ones under setting k, and prior variances."""
        cross, prior = torch.zeros(()), torch.zeros(())
        for c, component in enumerate(self.components):
            share = float(scales.shares[k, c])
            if share < _NEGLIGIBLE:
                continue
            cross = cross + share * component.kernel(prepared[c], float(scales.lengths[k, c]))
            prior = prior + share * component.diagonal()
        return cross.double(), prior.double()

    def _settings(self, fit: _Fit, rng: np.random.Generator) -> tuple[_Scales, NDArray[np.float64]]:
        first = self._draw(rng)
        likelihood = fit.solve(first).likelihood.numpy()
        weights = _normalised(likelihood)
        second = _strayed(first.at(rng.choice(len(weights), size=len(weights) // 2, p=weights)), rng)
        likelihood = fit.solve(second).likelihood.numpy()
        # The first round was drawn from the prior, the second about the posterior: it needs the prior in its weights.
        lengths = np.log(second.lengths) / self.priors.length_scale
        noise = (np.log(second.noise) - self.priors.noise[0]) / self.priors.noise[1]
        refined = _normalised(likelihood - 0.5 * (lengths**2).sum(1) - 0.5 * noise**2)
        effective = 1.0 / float((weights**2).sum())
        share = effective / (effective + _ENOUGH)
        both = _Scales(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))
        return both, np.concatenate([share * weights, (1 - share) * refined])

    def _draw(self, rng: np.random.Generator) -> _Scales:
        """Settings from the prior, spread evenly over it."""
        priors, c = self.priors, len(self.components)
        sobol = qmc.Sobol(2 * c + 3, seed=rng).random(priors.draws).clip(1e-6, 1 - 1e-6)
        shares = gamma.ppf(sobol[:, c : 2 * c], priors.concentration) + 1e-9
        noise = np.exp(priors.noise[0] + priors.noise[1] * ndtri(sobol[:, 2 * c]))
        means = np.array(priors.means)[(sobol[:, 2 * c + 1] * len(priors.means)).astype(int)]
        edges = self._probable.cumsum()[:-1]
        structure = np.searchsorted(edges, sobol[:, -1], side="right")
        shares = np.where(self._parts[structure], shares, 0.0)
        means = np.where(self._with_mean[structure], means, 0.0)
        return _Scales(
            np.exp(priors.length_scale * ndtri(sobol[:, :c])),
            shares / shares.sum(1, keepdims=True),
            np.maximum(noise, _JITTER_NOISE),
            means,
            structure,
        )


class _Solved(NamedTuple):
    """For s settings: log marginal likelihoods (s,), factors (s, n, n), `dual` (s, n), constants and variances (s,)."""

    likelihood: torch.Tensor
    factor: torch.Tensor
    dual: torch.Tensor
    constant: torch.Tensor
    variance: torch.Tensor


class _Fit:
    """The observed candidates under any settings of the scales."""

    _SHAPE = 3.0
    """Shape and scale of the inverse gamma prior of the overall variance: mean 1.5, mode 0.75."""

    def __init__(self, model: AveragedGP, observed: Sequence[int], targets: torch.Tensor) -> None:
        rows = torch.as_tensor(observed)
        self._components = model.components
        # Covariances are symmetric, and factors read the lower triangle alone.
        self._lower = torch.tril_indices(len(rows), len(rows)).unbind()
        self._prepared = [tuple(p[rows].double()[self._lower] for p in c.columns(observed)) for c in model.components]
        self._targets = targets
        self._mean = None if model.mean is None else model.mean[rows]

    def solve(self, scales: _Scales) -> _Solved:
        s, n = len(scales.noise), len(self._targets)
        lengths, shares = torch.as_tensor(scales.lengths), torch.as_tensor(scales.shares)
        lower = torch.zeros(s, len(self._lower[0]), dtype=torch.float64)
        for c, component in enumerate(self._components):
            # Most structures leave components out.
            part = torch.as_tensor(np.flatnonzero(scales.shares[:, c]))
            kernel = component.kernel(tuple(p[None] for p in self._prepared[c]), lengths[part, c, None])
            lower.index_add_(0, part, shares[part, c, None] * kernel)
        covariance = torch.diag_embed(torch.as_tensor(scales.noise)[:, None].expand(s, n))
        covariance[:, self._lower[0], self._lower[1]] += lower
        factor = torch.linalg.cholesky(covariance)
        residual = self._targets.expand(s, n)
        if self._mean is not None:
            residual = residual - torch.as_tensor(scales.means)[:, None] * self._mean
        solved = torch.cholesky_solve(torch.stack([residual, torch.ones_like(residual)], 2), factor)
        # A standard normal prior on the constant.
        constant = solved[..., 0].sum(1) / (solved[..., 1].sum(1) + 1.0)
        dual = solved[..., 0] - constant[:, None] * solved[..., 1]
        squares = ((residual - constant[:, None]) * dual).sum(1)
        variance = (2 * self._SHAPE + squares) / (2 * self._SHAPE + n)
        determinant = torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)
        likelihood = -determinant - (self._SHAPE + n / 2) * torch.log(self._SHAPE + squares / 2)
        return _Solved(likelihood, factor, dual, constant, variance)


def _strayed(scales: _Scales, rng: np.random.Generator) -> _Scales:
    """Settings near given ones."""
    lengths = scales.lengths * np.exp(_SPREAD[0] * rng.normal(size=scales.lengths.shape))
    shares = scales.shares * np.exp(_SPREAD[1] * rng.normal(size=scales.shares.shape))
    noise = scales.noise * np.exp(_SPREAD[2] * rng.normal(size=scales.noise.shape))
    shares = shares / shares.sum(1, keepdims=True)
    return _Scales(lengths, shares, np.maximum(noise, _JITTER_NOISE), scales.means, scales.structure)


def _normalised(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)
