"""BoTorch acquisition functions over candidates given as sparse feature vectors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement, UpperConfidenceBound
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import DiagLinearOperator
from linear_operator.utils.warnings import NumericalWarning
from numpy.typing import NDArray
from scipy.optimize import Bounds, minimize
from scipy.sparse import csr_array, vstack

from po_nas.switches import default_switches
from surrogates.candidate_kernels import LearnedSimilarity
from surrogates.gaussian_process import ArchitectureGP
from surrogates.isolation import seeded, single_thread

__all__ = [
    "ACQUISITIONS",
    "Blocks",
    "GPScorer",
    "JointAcquisition",
    "MarginalAcquisition",
    "Marginals",
    "argmax_random_ties",
    "marginal_values",
]

MarginalAcquisition = Literal["logei", "ucb"]
"""Functions of the mean and the variance of one candidate."""
JointAcquisition = Literal[MarginalAcquisition, "lognei"]
"""Those that know several candidates at a time, too."""
ACQUISITIONS = {
    "logei": "logei: expected improvement on a log scale",
    "lognei": "lognei: with a noisy incumbent",
    "ucb": "ucb: upper confidence bound, mean + sqrt(beta) * standard deviation",
    "thompson": "thompson: a draw",
    "greedy": "greedy: the highest mean",
}
"""All acquisition functions of search methods, and what they are."""

_EQUAL = 1e-9
_SAMPLES = 64
"""Quasi-random posterior samples behind the joint acquisition."""


Blocks = tuple[csr_array, ...]
"""Descriptions of the same n architectures, each a sparse matrix (n, width)."""


class GPScorer:
    """A Gaussian process fitted to what is known, and acquisition values of candidates under it.

    `features` describe the n evaluated architectures, `targets` (n,) are their values, `pending` those under
    evaluation. Distances within a block are divided by the median distance between evaluated architectures. `groups`
    are the columns of the last block by named choice, where it has them (`surrogates.choice_kernel`). `fitted` is False
    when the likelihood could not be maximised (a `FitFallbackWarning` has said so). `improved` are the places of the
    evaluated ones that are to be improved upon, default: all. Randomness: one integer of `rng`,
    the seed of the quasi-random samples and of what BoTorch draws.

    References: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023,
    arXiv 2310.20708.
    """

    @default_switches()
    def __init__(
        self,
        features: Blocks,
        targets: NDArray[np.float64],
        pending: Blocks,
        rng: np.random.Generator,
        acquisition: JointAcquisition = "logei",
        beta: float = 4.0,
        groups: Sequence[Sequence[int]] = (),
        improved: Sequence[int] | None = None,
    ) -> None:
        self._features, self._pending, self._groups = features, pending, groups
        self._scales = [_median_distance(block) for block in features]
        self._targets = torch.as_tensor(targets)
        self._acquisition, self._beta = acquisition, beta
        self._seed = int(rng.integers(2**31))
        self._model = self._fresh_model(features, self._targets)
        with seeded(self._seed):
            self.fitted = self._model.fit()
        self._model.requires_grad_(False)
        # The observations are noisy: the incumbent is the best posterior mean, not the luckiest value.
        means = self._model.marginals(self._distances(features, features))[0]
        self._incumbent = means.max() if improved is None else means[list(improved)].max()

    def similarity(self, vectors: NDArray[np.float64]) -> LearnedSimilarity:
        """The kernel as it was fitted, over candidates (m, d). For features that are one block of named choices."""
        [kernel], [scale] = self._model.covar_module.kernels, self._scales
        return LearnedSimilarity(vectors / scale, kernel)

    @default_switches()
    @torch.no_grad()
    def marginal(self, features: Blocks) -> NDArray[np.float64]:
        """Acquisition value (m,) of each of m candidates on its own, pending ones left out of account."""
        if self._acquisition == "ucb":
            return self._upper_bound(self._model, self._features, features)
        found = self._model.marginals(self._distances(features, self._features))
        return _array(marginal_values("logei", *found, self._incumbent, self._beta))

    @default_switches()
    @single_thread()
    @torch.no_grad()
    def posterior(self, features: Blocks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (m,) of each of m candidates.

        Pending ones are taken to have been observed at their mean.
        """
        model, known = self._with_pending()
        mean, variance = model.marginals(self._distances(features, known))
        return _array(mean), _array(variance.sqrt())

    def _with_pending(self) -> tuple[ArchitectureGP, Blocks]:
        """The model, and what it was told, with pending ones observed at their posterior mean."""
        if not self._pending[0].shape[0]:
            return self._model, self._features
        believed = self._model.marginals(self._distances(self._pending, self._features))[0]
        pairs = zip(self._features, self._pending, strict=True)
        known = tuple(csr_array(vstack(pair, format="csr")) for pair in pairs)
        model = self._fresh_model(known, torch.cat([self._targets, believed]))
        model.load_state_dict(self._model.state_dict())
        return model.eval(), known

    @default_switches()
    @single_thread()
    def ascended(self, vectors: NDArray[np.float64], free: NDArray[np.bool_], iterations: int) -> NDArray[np.float64]:
        """Vectors (m, d) from which `marginal` has been climbed, by its gradient in the columns that are `free` (m, d).

        Those are kept between 0 and 1. For features that are one block of named choices.
        """
        [scale] = self._scales
        start = torch.as_tensor(vectors / scale)
        low = np.where(free, 0.0, start).ravel()
        high = np.where(free, 1.0 / scale, start).ravel()

        def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            points = torch.as_tensor(flat).reshape(start.shape).requires_grad_()
            found = self._model.marginals([points])
            kind: MarginalAcquisition = "ucb" if self._acquisition == "ucb" else "logei"
            total = marginal_values(kind, *found, self._incumbent, self._beta).sum()
            [gradient] = torch.autograd.grad(total, points)
            return -total.item(), -gradient.numpy().ravel()

        options = {"maxiter": iterations}
        found = minimize(
            value, start.numpy().ravel(), jac=True, method="L-BFGS-B", bounds=Bounds(low, high), options=options
        )
        return np.asarray(found.x.reshape(vectors.shape) * scale, dtype=np.float64)

    @default_switches()
    @single_thread()
    @torch.no_grad()
    def joint(self, features: Blocks) -> NDArray[np.float64]:
        """Acquisition value (m,) of each of m candidates given the pending ones.

        Noisy expected improvement (log) over posterior samples that cover the pending ones; under ``ucb`` they are
        taken to have been observed at their posterior mean instead, which lowers the variance near them.
        """
        waiting = self._pending[0].shape[0] > 0
        if self._acquisition == "ucb":
            if not waiting:
                return self.marginal(features)
            return self._upper_bound(*self._with_pending(), features)
        with seeded(self._seed), warnings.catch_warnings():
            # Jitter on a nearly singular covariance of the samples is harmless.
            warnings.simplefilter("ignore", NumericalWarning)
            acquisition = qLogNoisyExpectedImprovement(
                self._model,
                X_baseline=self._model.train_inputs[0],
                sampler=SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=self._seed),
                X_pending=self._dense(self._pending) if waiting else None,
                prune_baseline=True,
            )
            return _array(acquisition(self._dense(features).unsqueeze(1)))

    def _fresh_model(self, features: Blocks, targets: torch.Tensor) -> ArchitectureGP:
        return ArchitectureGP(self._dense(features), targets, [block.shape[1] for block in features], self._groups)

    def _upper_bound(self, model: ArchitectureGP, known: Blocks, features: Blocks) -> NDArray[np.float64]:
        mean, variance = model.marginals(self._distances(features, known))
        return _array(marginal_values("ucb", mean, variance, mean.max(), self._beta))

    def _dense(self, features: Blocks) -> torch.Tensor:
        """The blocks side by side, scaled, (n, d)."""
        scaled = [block.toarray() / scale for block, scale in zip(features, self._scales, strict=True)]
        return torch.as_tensor(np.concatenate(scaled, axis=1))

    def _distances(self, first: Blocks, second: Blocks) -> list[torch.Tensor]:
        """For each block the scaled Euclidean distances (m, n) between the rows of two sparse matrices.

        For a block of named choices, the scaled rows of the first.
        """
        apart = []
        for number, (a, b, scale) in enumerate(zip(first, second, self._scales, strict=True), 1):
            if self._groups and number == len(first):
                apart.append(torch.as_tensor(a.toarray() / scale))
                continue
            squares = [matrix.multiply(matrix).sum(axis=1) for matrix in (a, b)]
            squared = squares[0][:, None] + squares[1][None, :] - 2.0 * (a @ b.toarray().T)
            apart.append(torch.as_tensor(np.sqrt(np.maximum(squared, 0.0)) / scale))
        return apart


def _median_distance(features: csr_array) -> float:
    distances = torch.pdist(torch.as_tensor(features.toarray()))
    positive = distances[distances > 0]
    return float(positive.median()) if len(positive) else 1.0


class Marginals(Model):
    """Marginal posteriors that are known already, as the model that BoTorch's analytic acquisitions ask."""

    def __init__(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        super().__init__()
        self._mean, self._variance = mean, variance
        self.everything = mean.new_empty(len(mean), 1, 0)
        """The X that stands for all candidates."""

    @property
    def num_outputs(self) -> int:
        """One."""
        return 1

    def posterior(self, X: torch.Tensor, *args: Any, **options: Any) -> GPyTorchPosterior:
        """The marginals, whatever X is."""
        covariance = DiagLinearOperator(self._variance[:, None])
        return GPyTorchPosterior(MultivariateNormal(self._mean[:, None], covariance))


@default_switches()
def marginal_values(
    acquisition: MarginalAcquisition, mean: torch.Tensor, variance: torch.Tensor, incumbent: torch.Tensor, beta: float
) -> torch.Tensor:
    """Acquisition values (m,) of candidates whose posteriors have `mean` and `variance` (m,).

    Args:
        acquisition: Which function.
        mean: Posterior means.
        variance: Posterior variances.
        incumbent: What is to be improved upon, for ``logei``.
        beta: Squared number of standard deviations above the mean, for ``ucb``.
    """
    found = Marginals(mean, variance)
    if acquisition == "ucb":
        values: torch.Tensor = UpperConfidenceBound(found, beta=beta)(found.everything)
    else:
        values = LogExpectedImprovement(found, best_f=incumbent)(found.everything)
    return values


def argmax_random_ties(values: NDArray[np.float64], rng: np.random.Generator) -> int | None:
    """Place of the highest finite value of (m,), None when there is none.

    Equal values are frequent (isomorphic cells); a random one of them keeps the choice free of the enumeration.
    """
    if not np.isfinite(values).any():
        return None
    values = np.where(np.isfinite(values), values, -np.inf)
    return int(rng.choice(np.flatnonzero(values >= values.max() - _EQUAL)))


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(values.numpy(), dtype=np.float64)
