"""A Gaussian process over feature vectors of architectures, for few observations and many candidates."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.posteriors.transformed import TransformedPosterior
from gpytorch.constraints import GreaterThan
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.operators import DiagLinearOperator
from linear_operator.utils.errors import NanError, NotPSDError
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

__all__ = ["ArchitectureGP", "FitFallbackWarning", "normal_scores"]

_ITERATIONS = 60
"""L-BFGS steps of a fit; the likelihood of three scales is flat long before."""


class FitFallbackWarning(UserWarning):
    """The likelihood could not be maximised; the model keeps its prior scales."""


def normal_scores(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal quantiles of the ranks of `y` (n,), ties averaged: robust to outliers, finest where values crowd.

    Standardised accuracies of a cell space are a dense bulk with a long tail of failures; a GP fitted to them spends
    its scale on the tail. Ranks do not care.
    """
    return np.asarray(ndtri((rankdata(y) - 0.5) / len(y)), dtype=np.float64)


class ArchitectureGP(SingleTaskGP):
    """A BoTorch GP with a Matérn-5/2 kernel on feature vectors, in double precision.

    `features` (n, d) should be counts or one-hot codes divided by a typical distance, so that a length scale of 1 is a
    sensible start; `targets` (n,) of about unit variance. `posterior` of single candidates, shape (m, 1, d), is
    computed for all m at once from one Cholesky factor, which makes scoring a whole space cheap; everything else is
    BoTorch's.
    """

    def __init__(self, features: torch.Tensor, targets: torch.Tensor) -> None:
        lengthscale, amplitude, noise = LogNormalPrior(0.0, 0.75), LogNormalPrior(0.5, 0.75), LogNormalPrior(-4.0, 1.0)
        kernel = ScaleKernel(MaternKernel(nu=2.5, lengthscale_prior=lengthscale), outputscale_prior=amplitude)
        kernel.base_kernel.lengthscale = 1.0
        kernel.outputscale = 1.0
        likelihood = GaussianLikelihood(noise_prior=noise, noise_constraint=GreaterThan(1e-4, initial_value=2e-2))
        super().__init__(
            features.double(),
            targets.double().unsqueeze(-1),
            likelihood=likelihood,
            covar_module=kernel,
            outcome_transform=None,
            input_transform=None,
        )
        self._solved: tuple[torch.Tensor, torch.Tensor] | None = None

    def fit(self) -> bool:
        """Maximise the marginal likelihood; False, with a `FitFallbackWarning`, when that fails."""
        before = {name: value.clone() for name, value in self.state_dict().items()}
        try:
            with warnings.catch_warnings():
                # Stopping at the iteration limit is intended.
                warnings.simplefilter("ignore")
                fit_gpytorch_mll(
                    ExactMarginalLogLikelihood(self.likelihood, self),
                    optimizer_kwargs={"options": {"maxiter": _ITERATIONS}},
                )
            fitted = True
        except (ModelFittingError, NotPSDError, NanError, RuntimeError) as error:
            self.load_state_dict(before)
            warnings.warn(
                f"the GP's likelihood could not be maximised on {self.train_targets.shape[-1]} points "
                f"({type(error).__name__}: {error}); its prior scales are used",
                FitFallbackWarning,
                stacklevel=2,
            )
            fitted = False
        self.eval()
        self.likelihood.eval()
        self._solved = None
        return fitted

    def posterior(  # type: ignore[override]  # BoTorch's own classes disagree about this signature
        self,
        X: torch.Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | torch.Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> GPyTorchPosterior | TransformedPosterior:
        """BoTorch's posterior.

        Single candidates, (m, 1, d), whose latent values are wanted without gradients take the fast path.
        """
        plain = output_indices is None and observation_noise is False and posterior_transform is None
        if plain and X.dim() == 3 and X.shape[1] == 1 and not torch.is_grad_enabled():
            mean, variance = self.marginals(X[:, 0])
            return GPyTorchPosterior(MultivariateNormal(mean[:, None], DiagLinearOperator(variance[:, None])))
        return super().posterior(X, output_indices, observation_noise, posterior_transform)

    @torch.no_grad()
    def marginals(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and variance of the latent function at (m, d) features, each (m,)."""
        factor, weights = self._factor()
        train = self.train_inputs[0]
        cross = self.covar_module(features.to(train), train).to_dense()
        mean = self.mean_module.constant + cross @ weights
        solved = torch.linalg.solve_triangular(factor, cross.mT, upper=False)
        prior = self.covar_module.outputscale
        return mean, (prior - solved.square().sum(0)).clamp_min(1e-10)

    @torch.no_grad()
    def _factor(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._solved is None:
            train = self.train_inputs[0]
            covariance = self.covar_module(train).to_dense()
            covariance.diagonal().add_(self.likelihood.noise.squeeze())
            factor = torch.linalg.cholesky(covariance)
            residual = (self.train_targets - self.mean_module.constant).unsqueeze(-1)
            self._solved = factor, torch.cholesky_solve(residual, factor).squeeze(-1)
        return self._solved
