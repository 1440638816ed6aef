"""A Gaussian process that averages over its hyperparameters instead of choosing them, for tens of observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import gamma, qmc

from po_nas.switches import default_switches
from surrogates.candidate_kernels import Component
from surrogates.isolation import single_thread

__all__ = ["Hyperparameters", "MarginalisedGP", "Mixture", "ModelHypothesis", "Priors"]

_JITTER_NOISE = 1e-4
_STEP = (0.25, 0.4, 0.3)
"""Standard deviations of the refinement step: of log length scales, log kernel weights, log noise."""
_NEGLIGIBLE = 1e-4
_EQUAL_ROUNDS = 8.0
"""Effective size of the first round of samples at which it weighs as much as the second."""


@dataclass(frozen=True)
class Priors:
    """Prior over the hyperparameters.

    Log length scales (in typical distances) are normal with mean `length_scale_mean` and standard deviation
    `length_scale`; the log noise variance, relative to the whole signal, with mean and deviation `noise`. Weights of
    the kernels are Dirichlet with concentration `concentration`: below 1, few kernels get most. `means` are the
    coefficients of the given mean function that are tried, with `mean_weights` as relative probabilities (default:
    equally likely), and `predictor` those of a predictor's, equally likely. `draws` samples are drawn, `kept` of them
    predict.
    """

    length_scale: float = 0.75
    noise: tuple[float, float] = (-2.5, 1.25)
    concentration: float = 0.7
    means: tuple[float, ...] = (0.0, 0.3, 0.6)
    predictor: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    length_scale_mean: float = 0.0
    mean_weights: tuple[float, ...] = ()
    draws: int = 256
    kept: int = 6

    @property
    def mean_coefficient(self) -> float:
        """The expected coefficient of the mean function."""
        return float(np.average(self.means, weights=self.mean_weights or None))


@dataclass(frozen=True)
class ModelHypothesis:
    """A hypothesis: the model has these components, and the mean function or not; `probability` is relative."""

    components: tuple[Component, ...]
    mean: bool
    probability: float


class Hyperparameters(NamedTuple):
    """Samples of the hyperparameters, s of them.

    Length scales and kernel weights (s, c); noise, coefficients of the given mean function and of the predictor's, and
    numbers of the hypotheses (s,).
    """

    lengths: NDArray[np.float64]
    kernel_weights: NDArray[np.float64]
    noise: NDArray[np.float64]
    means: NDArray[np.float64]
    predictor: NDArray[np.float64]
    hypothesis: NDArray[np.intp]

    def at(self, rows: NDArray[np.intp]) -> Hyperparameters:
        """Those of some draws, by their rows."""
        lengths, kernel_weights, noise, means, predictor, hypothesis = self
        return Hyperparameters(
            lengths[rows], kernel_weights[rows], noise[rows], means[rows], predictor[rows], hypothesis[rows]
        )


@dataclass(frozen=True)
class Mixture:
    """Predictions for m candidates under s samples of the hyperparameters.

    Attributes:
        weights: Of the samples (s,), summing to 1.
        means: Posterior means of the latent function (s, m).
        variances: Posterior variances of the latent function (s, m).
        alpha: Coefficients of the observed candidates in each mean (s, n).
        observed: Places of the observed candidates (n,).
        kernel_weights: Posterior mean share of each kernel in the prior variance (c,).
        mean_weight: Posterior mean of the coefficient of the given mean function.
        predictor_weight: The same of the predictor's; 0 without one.
        hypotheses: Posterior probability of each hypothesis (t,).
        noise: Posterior mean of the noise variance, relative to the whole signal.
        hyperparameters: The samples.
    """

    weights: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor
    alpha: torch.Tensor
    observed: tuple[int, ...]
    kernel_weights: NDArray[np.float64]
    mean_weight: float
    predictor_weight: float
    hypotheses: NDArray[np.float64]
    noise: float
    hyperparameters: Hyperparameters = field(repr=False)

    @property
    def mean(self) -> torch.Tensor:
        """Mean over the samples (m,)."""
        return self.weights @ self.means

    @property
    def variance(self) -> torch.Tensor:
        """Variance over the samples and of each (m,), above 0."""
        return (self.weights @ (self.variances + self.means.square()) - self.mean.square()).clamp_min(1e-12)


class MarginalisedGP:
    """A sum of kernels over m candidates whose hyperparameters are marginalised by importance sampling.

    A likelihood of ten observations does not tell which description of an architecture to believe; its maximum picks
    one all the same. Here hyperparameters are drawn from the prior, weighed by their marginal likelihood (the overall
    variance integrated out under an inverse gamma prior, the constant mean profiled), refined once around the likely
    ones, and the predictions of `Priors.kept` samples drawn by weight are averaged. So are the hypotheses.

    Args:
        components: The kernels, over the same m candidates.
        mean: A function (m,) of about unit variance; the prior mean is a coefficient, a hyperparameter, times it.
        priors: Over the hyperparameters.
        hypotheses: Which parts the model may have; without any it has all of them.
        mean_weights: Where `mean` is a linear function of the features of linear components, its coefficients (k,).
    """

    @default_switches()
    def __init__(
        self,
        components: Sequence[Component],
        mean: NDArray[np.float64] | None = None,
        priors: Priors | None = None,
        hypotheses: Sequence[ModelHypothesis] = (),
        mean_weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.components = tuple(components)
        hypotheses = hypotheses or (ModelHypothesis(self.components, True, 1.0),)
        self._parts = np.array([[any(c is own for own in h.components) for c in components] for h in hypotheses])
        self._with_mean = np.array([h.mean for h in hypotheses])
        probable = np.array([h.probability for h in hypotheses])
        self._probable: NDArray[np.float64] = probable / probable.sum()
        self.mean = None if mean is None else torch.as_tensor(mean, dtype=torch.float64)
        self._mean_weights = mean_weights
        self.priors = priors or Priors()
        if self.mean is None:
            self.priors = replace(self.priors, means=(0.0,), mean_weights=())

    @property
    def hypothesis_priors(self) -> NDArray[np.float64]:
        """Prior probabilities of the hypotheses (t,)."""
        return self._probable

    @default_switches()
    @single_thread()
    @torch.no_grad()
    def predict(
        self,
        observed: Sequence[int],
        targets: NDArray[np.float64],
        rng: np.random.Generator,
        pending: Sequence[int] = (),
        predictor: NDArray[np.float64] | None = None,
    ) -> Mixture:
        """Predictions for all candidates, given `targets` (n,) of those at `observed`; about unit variance, n ≥ 2.

        Candidates at `pending` are taken to have been observed at their predicted mean, which lowers the variance
        near them and leaves means as they are. `predictor` (m,) is one more mean function under all hypotheses, of
        about unit variance, with a coefficient of its own (`Priors.predictor`): what a predictor says of the
        candidates. Where it has learned from the target of an observed candidate, its value there must be that of one
        which has not (out of fold), or the coefficient is too high.
        """
        given = None if predictor is None else torch.as_tensor(predictor, dtype=torch.float64)
        fit = _Fit(self, observed, torch.as_tensor(targets, dtype=torch.float64), given)
        samples, weights = self._sample(fit, rng)
        drawn = rng.choice(len(weights), size=self.priors.kept, p=weights)
        chosen, counts = np.unique(drawn, return_counts=True)
        kept = samples.at(chosen)
        solved = fit.solve(kept)
        means, variances = [], []
        prepared = [component.cross_covariance_inputs([*observed, *pending]) for component in self.components]
        n = len(observed)
        for k in range(len(chosen)):
            cross, prior = self._cross(prepared, kept, k)
            mean = solved.constant[k] + cross[:, :n] @ solved.alpha[k]
            if self.mean is not None:
                mean = mean + float(kept.means[k]) * self.mean
            if given is not None:
                mean = mean + float(kept.predictor[k]) * given
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
            solved.alpha,
            tuple(observed),
            weights @ samples.kernel_weights,
            float(weights @ samples.means),
            float(weights @ samples.predictor),
            np.bincount(samples.hypothesis, weights, minlength=len(self._probable)).astype(np.float64),
            float(weights @ samples.noise),
            kept,
        )

    @default_switches()
    @single_thread()
    @torch.no_grad()
    def hyperparameters(
        self, observed: Sequence[int], targets: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[Hyperparameters, NDArray[np.float64]]:
        """Samples of the hyperparameters, s of them, and their posterior weights (s,); arguments as of `predict`."""
        return self._sample(_Fit(self, observed, torch.as_tensor(targets, dtype=torch.float64)), rng)

    @default_switches()
    @single_thread()
    def posterior_weights(self, predicted: Mixture) -> NDArray[np.float64]:
        """Posterior mean of the coefficients of the features in all linear parts of the model, `mean` included.

        Args:
            predicted: What `predict` returned.

        Returns:
            Coefficients (m, k) of the k features for each of the m candidates.
        """
        assert self.mean is not None
        assert self._mean_weights is not None
        samples, prior = predicted.hyperparameters, torch.as_tensor(self._mean_weights)
        total = torch.zeros(len(self.mean), len(prior), dtype=torch.float64)
        for k, weight in enumerate(predicted.weights.tolist()):
            total += weight * float(samples.means[k]) * prior
            for c, component in enumerate(self.components):
                scale, share = float(samples.lengths[k, c]), weight * float(samples.kernel_weights[k, c])
                found = component.coefficients(predicted.alpha[k], predicted.observed, scale, share)
                if found is not None:
                    total += found
        return np.asarray(total)

    def _cross(
        self, prepared: Sequence[tuple[torch.Tensor, ...]], samples: Hyperparameters, k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Covariances (m, n) of all candidates with the observed ones under sample k, and prior variances."""
        cross, prior = torch.zeros(()), torch.zeros(())
        for c, component in enumerate(self.components):
            weight = float(samples.kernel_weights[k, c])
            if weight < _NEGLIGIBLE:
                continue
            cross = cross + weight * component.kernel(prepared[c], float(samples.lengths[k, c]))
            prior = prior + weight * component.diagonal()
        return cross.double(), prior.double()

    def _sample(self, fit: _Fit, rng: np.random.Generator) -> tuple[Hyperparameters, NDArray[np.float64]]:
        """Samples of the hyperparameters, and their posterior weights."""
        first = self._draw(rng, fit.has_predictor)
        likelihood = fit.solve(first).likelihood.numpy()
        weights = _normalised(likelihood)
        second = _perturb(first.at(rng.choice(len(weights), size=len(weights) // 2, p=weights)), rng)
        likelihood = fit.solve(second).likelihood.numpy()
        # The first round was drawn from the prior, the second about the posterior: it needs the prior in its weights.
        lengths = (np.log(second.lengths) - self.priors.length_scale_mean) / self.priors.length_scale
        noise = (np.log(second.noise) - self.priors.noise[0]) / self.priors.noise[1]
        refined = _normalised(likelihood - 0.5 * (lengths**2).sum(1) - 0.5 * noise**2)
        effective = 1.0 / float((weights**2).sum())
        share = effective / (effective + _EQUAL_ROUNDS)
        both = Hyperparameters(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))
        return both, np.concatenate([share * weights, (1 - share) * refined])

    def _draw(self, rng: np.random.Generator, predictor: bool) -> Hyperparameters:
        """Samples from the prior, spread evenly over it; without a predictor its coefficients are 0."""
        priors, c = self.priors, len(self.components)
        sobol = qmc.Sobol(2 * c + 3 + predictor, seed=rng).random(priors.draws).clip(1e-6, 1 - 1e-6)
        coefficients = np.zeros(priors.draws)
        if predictor:
            coefficients = np.array(priors.predictor)[(sobol[:, 2 * c + 2] * len(priors.predictor)).astype(int)]
        kernel_weights = gamma.ppf(sobol[:, c : 2 * c], priors.concentration) + 1e-9
        noise = np.exp(priors.noise[0] + priors.noise[1] * ndtri(sobol[:, 2 * c]))
        if priors.mean_weights:
            shares = np.array(priors.mean_weights) / sum(priors.mean_weights)
            places = np.searchsorted(shares.cumsum()[:-1], sobol[:, 2 * c + 1], side="right")
        else:
            places = (sobol[:, 2 * c + 1] * len(priors.means)).astype(int)
        means = np.array(priors.means)[places]
        edges = self._probable.cumsum()[:-1]
        hypothesis = np.searchsorted(edges, sobol[:, -1], side="right")
        kernel_weights = np.where(self._parts[hypothesis], kernel_weights, 0.0)
        means = np.where(self._with_mean[hypothesis], means, 0.0)
        return Hyperparameters(
            np.exp(priors.length_scale_mean + priors.length_scale * ndtri(sobol[:, :c])),
            kernel_weights / kernel_weights.sum(1, keepdims=True),
            np.maximum(noise, _JITTER_NOISE),
            means,
            coefficients,
            hypothesis,
        )


class _Solved(NamedTuple):
    """For s samples: log marginal likelihoods (s,), factors (s, n, n), `alpha` (s, n), constants and variances (s,)."""

    likelihood: torch.Tensor
    factor: torch.Tensor
    alpha: torch.Tensor
    constant: torch.Tensor
    variance: torch.Tensor


class _Fit:
    """The observed candidates under any hyperparameters."""

    _SHAPE = 3.0
    """Shape and scale of the inverse gamma prior of the overall variance: mean 1.5, mode 0.75."""

    def __init__(
        self,
        model: MarginalisedGP,
        observed: Sequence[int],
        targets: torch.Tensor,
        predictor: torch.Tensor | None = None,
    ) -> None:
        rows = torch.as_tensor(observed)
        self._components = model.components
        # Covariances are symmetric, and factors read the lower triangle alone.
        self._lower = torch.tril_indices(len(rows), len(rows)).unbind()
        inputs = [component.cross_covariance_inputs(observed) for component in model.components]
        self._prepared = [tuple(p[rows].double()[self._lower] for p in one) for one in inputs]
        self._targets = targets
        self._mean = None if model.mean is None else model.mean[rows]
        self._predictor = None if predictor is None else predictor[rows]

    @property
    def has_predictor(self) -> bool:
        return self._predictor is not None

    def solve(self, samples: Hyperparameters) -> _Solved:
        s, n = len(samples.noise), len(self._targets)
        lengths, kernel_weights = torch.as_tensor(samples.lengths), torch.as_tensor(samples.kernel_weights)
        lower = torch.zeros(s, len(self._lower[0]), dtype=torch.float64)
        for c, component in enumerate(self._components):
            # Most hypotheses leave components out.
            part = torch.as_tensor(np.flatnonzero(samples.kernel_weights[:, c]))
            kernel = component.kernel(tuple(p[None] for p in self._prepared[c]), lengths[part, c, None])
            lower.index_add_(0, part, kernel_weights[part, c, None] * kernel)
        covariance = torch.diag_embed(torch.as_tensor(samples.noise)[:, None].expand(s, n))
        covariance[:, self._lower[0], self._lower[1]] += lower
        factor = torch.linalg.cholesky(covariance)
        residual = self._targets.expand(s, n)
        if self._mean is not None:
            residual = residual - torch.as_tensor(samples.means)[:, None] * self._mean
        if self._predictor is not None:
            residual = residual - torch.as_tensor(samples.predictor)[:, None] * self._predictor
        solved = torch.cholesky_solve(torch.stack([residual, torch.ones_like(residual)], 2), factor)
        # A standard normal prior on the constant.
        constant = solved[..., 0].sum(1) / (solved[..., 1].sum(1) + 1.0)
        alpha = solved[..., 0] - constant[:, None] * solved[..., 1]
        squares = ((residual - constant[:, None]) * alpha).sum(1)
        variance = (2 * self._SHAPE + squares) / (2 * self._SHAPE + n)
        determinant = torch.diagonal(factor, dim1=1, dim2=2).log().sum(1)
        likelihood = -determinant - (self._SHAPE + n / 2) * torch.log(self._SHAPE + squares / 2)
        return _Solved(likelihood, factor, alpha, constant, variance)


def _perturb(samples: Hyperparameters, rng: np.random.Generator) -> Hyperparameters:
    """Samples near given ones."""
    lengths = samples.lengths * np.exp(_STEP[0] * rng.normal(size=samples.lengths.shape))
    kernel_weights = samples.kernel_weights * np.exp(_STEP[1] * rng.normal(size=samples.kernel_weights.shape))
    noise = samples.noise * np.exp(_STEP[2] * rng.normal(size=samples.noise.shape))
    kernel_weights = kernel_weights / kernel_weights.sum(1, keepdims=True)
    return samples._replace(lengths=lengths, kernel_weights=kernel_weights, noise=np.maximum(noise, _JITTER_NOISE))


def _normalised(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)
