"""The fit of a Gaussian process whose kernel is one of named choices, with derivatives in closed form."""

from __future__ import annotations

import math

import numpy as np
import torch
from botorch.models import SingleTaskGP
from linear_operator.utils.cholesky import psd_safe_cholesky
from numpy.typing import NDArray
from scipy.optimize import minimize

from surrogates.choice_kernel import ChoiceKernel

__all__ = ["fit_by_choice"]

_WIDEST = 8.0
"""Logarithms of scales beyond this make no difference to a kernel, and overflow in the end."""


def fit_by_choice(model: SingleTaskGP, kernel: ChoiceKernel, iterations: int) -> None:
    """Maximise the marginal likelihood and the priors, as BoTorch's `fit_gpytorch_mll` would, in a tenth of the time.

    L-BFGS over the logarithms of the scales and of the noise. The constant mean is the best one for every scale.

    Args:
        model: With this kernel, a likelihood with a log-normal prior and a lower bound of its noise, a constant mean.
        kernel: Its only kernel.
        iterations: Steps at most.

    Raises:
        NotPSDError, NanError: From the Cholesky factor.
    """
    targets, noise = model.train_targets, model.likelihood.noise_covar
    least = float(noise.raw_noise_constraint.lower_bound)
    values = kernel.scales
    sizes = [len(value) for value in values]
    priors = [kernel.lengthscales_prior, kernel.amplitudes_prior, kernel.joint_prior, noise.noise_prior]
    sizes_of = [*sizes, 1]
    middle = torch.cat([torch.full((k,), float(p.loc)) for k, p in zip(sizes_of, priors, strict=True)]).double()
    width = torch.cat([torch.full((k,), float(p.scale)) for k, p in zip(sizes_of, priors, strict=True)]).double()
    count = len(targets)
    ones = torch.ones_like(targets)

    def solved(logs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scales = torch.split(logs[:-1].exp(), sizes)
        with torch.enable_grad():
            leaves = [scale.detach().requires_grad_() for scale in scales]
            below = kernel.below(*leaves)
        first, second = kernel.places
        covariance = torch.zeros(count, count, dtype=targets.dtype)
        covariance[first, second] = below.detach()
        covariance = covariance + covariance.mT
        variance = scales[1].sum() + scales[2].sum()
        covariance.diagonal().fill_(variance + least + logs[-1].exp())
        factor = psd_safe_cholesky(covariance)
        both = torch.cholesky_solve(torch.stack([targets, ones], 1), factor)
        constant = both[:, 0].sum() / both[:, 1].sum()
        return factor, both[:, 0] - constant * both[:, 1], constant, below, *leaves

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logs = torch.as_tensor(flat)
        factor, weights, constant, below, *leaves = solved(logs)
        likelihood = -0.5 * ((targets - constant) @ weights) - factor.diagonal().log().sum()
        # d likelihood / d covariance; each place below the diagonal is there twice.
        slope = 0.5 * (torch.outer(weights, weights) - torch.cholesky_inverse(factor))
        first, second = kernel.places
        found = list(torch.autograd.grad(below, leaves, 2.0 * slope[first, second]))
        trace = slope.diagonal().sum()
        scaled = [gradient * leaf.detach() for gradient, leaf in zip(found, leaves, strict=True)]
        scaled[1] = scaled[1] + trace * leaves[1].detach()
        scaled[2] = scaled[2] + trace * leaves[2].detach()
        noise_of = logs[-1].exp()
        gradient = torch.cat([*scaled, (trace * noise_of)[None]])
        # The prior of the noise is one of what lies above its bound as well.
        shifted = torch.cat([logs[:-1], (noise_of + least).log()[None]])
        inner = torch.cat([torch.ones_like(logs[:-1]), (noise_of / (noise_of + least))[None]])
        away = (shifted - middle) / width
        prior = -(0.5 * away.square() + shifted).sum()
        gradient = gradient - (away / width + 1.0) * inner
        return -(likelihood + prior).item() / count, -gradient.numpy() / count

    start = torch.cat([*(v.detach().log() for v in values), (noise.noise.detach() - least).log().reshape(1)])
    bounds = [(-_WIDEST - 4.0, _WIDEST)] * len(start)
    with torch.no_grad():
        found = minimize(
            value, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
        )
        logs = torch.as_tensor(found.x)
        _, _, constant, *_ = solved(logs)
        kernel.scales = tuple(torch.split(logs[:-1].exp(), sizes))
        noise.noise = logs[-1].exp() + least
        model.mean_module.constant.fill_(float(constant))
    if not math.isfinite(found.fun):
        raise RuntimeError("the likelihood is not finite")
