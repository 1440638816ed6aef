"""How much an evaluation would add to the hypervolume of a front: BoTorch's acquisition function over candidates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from botorch.acquisition.multi_objective.monte_carlo import qNoisyExpectedHypervolumeImprovement
from botorch.models.model import Model
from botorch.posteriors.ensemble import EnsemblePosterior
from botorch.sampling.base import MCSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from po_nas.switches import default_switches
from surrogates.isolation import single_thread

__all__ = ["log_hypervolume_improvement", "normal_draws", "promising"]

_CELLS = 4_000_000
"""Pairs of candidates and cells that are computed at a time."""

F64 = NDArray[np.float64]


class _Drawn(Model):
    """A model whose posterior is a fixed set of samples (s, n, k) of n points; an X is the place of a point."""

    def __init__(self, samples: torch.Tensor) -> None:
        super().__init__()
        self._samples = samples

    @property
    def num_outputs(self) -> int:
        """The number of objectives."""
        return int(self._samples.shape[-1])

    def posterior(self, X: torch.Tensor, *args: Any, **options: Any) -> EnsemblePosterior:
        """The samples at places (…, q, 1)."""
        return EnsemblePosterior(self._samples[:, X[..., 0].long()].movedim(0, -3))


class _All(MCSampler):
    """Takes every sample of a `_Drawn`, in its order, so that points are sampled together."""

    def forward(self, posterior: Any) -> torch.Tensor:
        """The samples (s, …, q, k)."""
        samples: torch.Tensor = posterior.values.movedim(-3, 0)
        return samples

    def _update_base_samples(self, posterior: Any, base_sampler: MCSampler) -> None:
        """There are none to take over: the samples are those of the model."""


def normal_draws(number: int, width: int, seed: int) -> F64:
    """Quasi-random standard normal numbers (number, width), a function of the seed."""
    sobol = qmc.Sobol(width, seed=np.random.default_rng(seed)).random(number)
    return np.asarray(norm.ppf(sobol.clip(1e-6, 1 - 1e-6)), dtype=np.float64)


@default_switches()
@single_thread()
@torch.no_grad()
def promising(points: Sequence[F64], weights: F64, front: F64, reference: F64, number: int) -> NDArray[np.intp]:
    """Places of about `number` candidates, out of m, that might add most to the hypervolume of a front.

    Args:
        points: Values of k objectives (m, k), higher is better, that candidates may have; each array of them chooses as
            many as the others, by what they would add.
        weights: What gains are multiplied by (m,), such as the probability that limits are kept.
        front: Values (p, k) of the front.
        reference: The reference point (k,).
        number: Wanted.
    """
    if len(weights) <= number:
        return np.arange(len(weights))
    partitioning = FastNondominatedPartitioning(torch.as_tensor(reference), Y=torch.as_tensor(front))
    lower, upper = (bound.reshape(-1, len(reference)) for bound in partitioning.get_hypercell_bounds())
    chosen: list[NDArray[np.intp]] = []
    for given in points:
        step = max(1, _CELLS // len(lower))
        gains = [
            (torch.minimum(part[:, None], upper) - lower).clamp_min(0.0).prod(-1).sum(-1)
            for part in torch.split(torch.as_tensor(given), step)
        ]
        order = np.argsort(-torch.cat(gains).numpy() * weights, kind="stable")
        chosen.append(order[: number // len(points)])
    return np.unique(np.concatenate(chosen))


@default_switches()
@single_thread()
@torch.no_grad()
def log_hypervolume_improvement(baseline: F64, candidates: F64, reference: F64) -> F64:
    """Logarithm of the noisy expected hypervolume improvement (m,) by each of m candidates; minus infinity for none.

    Args:
        baseline: Posterior samples (s, n, k) of k objectives, higher is better, of what was evaluated or is pending.
        candidates: Posterior samples (s, m, k) of the candidates, sampled together with those of the baseline.
        reference: The reference point (k,).

    Source: Daulton, Balandat and Bakshy, Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected
    Hypervolume Improvement, NeurIPS 2021, arXiv 2105.08195.
    """
    n, m = baseline.shape[1], candidates.shape[1]
    model = _Drawn(torch.as_tensor(np.concatenate([baseline, candidates], axis=1)))
    # Not the one that smooths on a log scale for the sake of gradients: it compiles C++ on first use, for minutes, and
    # there are no gradients here.
    with warnings.catch_warnings():
        # That one is recommended.
        warnings.simplefilter("ignore")
        acquisition = qNoisyExpectedHypervolumeImprovement(
            model,
            torch.as_tensor(reference),
            X_baseline=torch.arange(n, dtype=torch.float64)[:, None],
            sampler=_All(torch.Size([len(baseline)])),
            cache_root=False,
        )
    gains = acquisition(torch.arange(n, n + m, dtype=torch.float64)[:, None, None])
    return np.asarray(gains.clamp_min(0.0).log().numpy(), dtype=np.float64)
