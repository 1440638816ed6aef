"""A Gaussian process over feature vectors of architectures, for few observations and many candidates."""

from __future__ import annotations

import itertools
import logging
import math
import warnings
from collections.abc import Sequence

import torch
from botorch.exceptions.errors import ModelFittingError
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import AdditiveKernel, Kernel, MaternKernel, ScaleKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.cholesky import psd_safe_cholesky
from linear_operator.utils.errors import NanError, NotPSDError

from po_nas.switches import default_switches, plain
from surrogates.candidate_kernels import matern
from surrogates.choice_fit import fit_by_choice
from surrogates.choice_kernel import ChoiceKernel
from surrogates.isolation import single_thread

__all__ = ["ArchitectureGP", "FitFallbackWarning"]

_log = logging.getLogger(__name__)

_ITERATIONS = 60
"""L-BFGS steps of a fit; the likelihood of three scales is flat long before."""


class FitFallbackWarning(UserWarning):
    """The likelihood could not be maximised; the model keeps its prior scales."""


class ArchitectureGP(SingleTaskGP):
    """A BoTorch GP over feature vectors, in double precision; its kernel is a sum over blocks of features.

    `features` (n, d) are the blocks side by side, `blocks` their widths, which sum to d; `targets` (n,) of about unit
    variance. Each block has a Matérn-5/2 kernel with a length scale and an amplitude of its own, so the likelihood
    decides how far each description of an architecture is to be believed. A block should be divided by a typical
    distance, so that a length scale of 1 is a sensible start. `marginals` scores a whole space of candidates cheaply;
    everything else is BoTorch's.

    With `groups`, columns of the last block by named choice, that block has a `ChoiceKernel` in place of the Matérn.
    """

    @default_switches()
    def __init__(
        self,
        features: torch.Tensor,
        targets: torch.Tensor,
        blocks: Sequence[int],
        groups: Sequence[Sequence[int]] = (),
    ) -> None:
        share = math.log(len(blocks))
        kernels: list[Kernel] = []
        for end, width in zip(itertools.accumulate(blocks), blocks, strict=True):
            columns = tuple(range(end - width, end))
            if groups and end == sum(blocks):
                kernels.append(ChoiceKernel(features[:, end - width : end], groups, active_dims=columns))
                continue
            base = MaternKernel(nu=2.5, lengthscale_prior=LogNormalPrior(0.0, 0.75), active_dims=columns)
            kernel = ScaleKernel(base, outputscale_prior=LogNormalPrior(0.5 - share, 0.75))
            kernel.base_kernel.lengthscale = 1.0
            kernel.outputscale = 1.0 / len(blocks)
            kernels.append(kernel)
        # Wide: ranks stretch the differences within a cluster of good architectures, and their noise with them.
        noise = LogNormalPrior(-2.5, 1.25)
        super().__init__(
            plain(features.double()),
            plain(targets.double().unsqueeze(-1)),
            likelihood=GaussianLikelihood(noise_prior=noise, noise_constraint=GreaterThan(1e-4, initial_value=8e-2)),
            covar_module=AdditiveKernel(*kernels),
            outcome_transform=None,
            input_transform=None,
        )
        self._solved: tuple[torch.Tensor, torch.Tensor] | None = None

    @default_switches()
    @single_thread()
    def fit(self) -> bool:
        """Maximise the marginal likelihood; False, with a `FitFallbackWarning`, when that fails."""
        before = {name: value.clone() for name, value in self.state_dict().items()}
        try:
            with warnings.catch_warnings():
                # Stopping at the iteration limit is intended.
                warnings.simplefilter("ignore")
                if len(self.covar_module.kernels) == 1 and isinstance(self.covar_module.kernels[0], ChoiceKernel):
                    fit_by_choice(self, self.covar_module.kernels[0], _ITERATIONS)
                else:
                    fit_gpytorch_mll(
                        ExactMarginalLogLikelihood(self.likelihood, self),
                        optimizer_kwargs={"options": {"maxiter": _ITERATIONS}},
                    )
            fitted = True
        except (ModelFittingError, NotPSDError, NanError, RuntimeError) as error:
            self.load_state_dict(before)
            message = (
                f"the GP's likelihood could not be maximised on {self.train_targets.shape[-1]} points "
                f"({type(error).__name__}: {error}); its prior scales are used"
            )
            # The warning is shown once by Python's default filter, the log has every one.
            _log.warning(message)
            warnings.warn(message, FitFallbackWarning, stacklevel=2)
            fitted = False
        self.eval()
        self.likelihood.eval()
        self._solved = None
        return fitted

    @default_switches()
    @single_thread()
    def marginals(self, distances: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior mean and variance of the latent function, each (m,), of m candidates.

        `distances` are, for each block, the Euclidean distances (m, n) of the candidates to the n training points, in
        the units of `features`; for a block of named choices, the candidates' features (m, width). One Cholesky factor
        serves all candidates; nothing of size m × m is ever made. There are gradients in `distances` alone.
        """
        with torch.set_grad_enabled(any(apart.requires_grad for apart in distances)):
            return self._marginals(distances)

    @torch.no_grad()
    def _solve(self) -> tuple[torch.Tensor, torch.Tensor]:
        train = self.train_inputs[0]
        covariance = self.covar_module(train).to_dense()
        covariance.diagonal().add_(self.likelihood.noise.squeeze())
        factor = psd_safe_cholesky(covariance)
        residual = (self.train_targets - self.mean_module.constant).unsqueeze(-1)
        return factor, torch.cholesky_solve(residual, factor).squeeze(-1)

    def _marginals(self, distances: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        if self._solved is None:
            self._solved = self._solve()
        factor, weights = self._solved
        cross, prior = torch.zeros(()), torch.zeros(())
        for kernel, apart in zip(self.covar_module.kernels, distances, strict=True):
            if isinstance(kernel, ChoiceKernel):
                cross = cross + kernel.forward(apart, self.train_inputs[0][:, kernel.active_dims])
                prior = prior + kernel.variance
                continue
            cross = cross + kernel.outputscale * matern(apart / kernel.base_kernel.lengthscale)
            prior = prior + kernel.outputscale
        mean = self.mean_module.constant + cross @ weights
        solved = torch.linalg.solve_triangular(factor, cross.mT, upper=False)
        return mean, (prior - solved.square().sum(0)).clamp_min(1e-10)
