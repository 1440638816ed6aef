"""BoTorch acquisition functions over candidates given as feature vectors."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement, UpperConfidenceBound
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.sampling.normal import SobolQMCNormalSampler
from numpy.typing import NDArray

from surrogates.gaussian_process import ArchitectureGP

__all__ = ["Acquisition", "GPScorer"]

Acquisition = Literal["logei", "lognei", "ucb"]

_SAMPLES = 64
"""Quasi-random posterior samples behind the joint acquisition."""


class GPScorer:
    """A Gaussian process fitted to what is known, and acquisition values of candidates under it.

    `features` (n, d) and `targets` (n,) of the evaluated architectures, `pending` (p, d) of those under evaluation.
    Distances are divided by the median distance between evaluated architectures. `fitted` is False when the
    likelihood could not be maximised (a `FitFallbackWarning` has said so). Randomness: one integer of `rng`, the seed
    of the quasi-random samples.

    References: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023,
    arXiv 2310.20708.
    """

    def __init__(
        self,
        features: NDArray[np.floating],
        targets: NDArray[np.float64],
        pending: NDArray[np.floating],
        rng: np.random.Generator,
        acquisition: Acquisition = "logei",
        beta: float = 4.0,
    ) -> None:
        train = torch.as_tensor(features, dtype=torch.float64)
        distances = torch.pdist(train)
        positive = distances[distances > 0]
        self._scale = float(positive.median()) if len(positive) else 1.0
        self._train = train / self._scale
        self._pending = self._scaled(pending)
        self._model = ArchitectureGP(self._train, torch.as_tensor(targets))
        self.fitted = self._model.fit()
        self._acquisition, self._beta = acquisition, beta
        self._seed = int(rng.integers(2**31))

    def _scaled(self, features: NDArray[np.floating]) -> torch.Tensor:
        return torch.as_tensor(features, dtype=torch.float64) / self._scale

    @torch.no_grad()
    def marginal(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Acquisition value (m,) of each of m candidates on its own, pending ones left out of account."""
        candidates = self._scaled(features).unsqueeze(1)
        if self._acquisition == "ucb":
            return _array(UpperConfidenceBound(self._model, beta=self._beta)(candidates))
        # The observations are noisy: the incumbent is the best posterior mean, not the luckiest value.
        incumbent = self._model.marginals(self._train)[0].max()
        return _array(LogExpectedImprovement(self._model, best_f=incumbent)(candidates))

    @torch.no_grad()
    def joint(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Log noisy expected improvement (m,) of each of m candidates together with the pending ones.

        Under ``ucb`` the pending ones are fantasised at their posterior mean instead, which lowers the variance near
        them.
        """
        if self._acquisition == "ucb":
            return self._believing().marginal(features)
        acquisition = qLogNoisyExpectedImprovement(
            self._model,
            X_baseline=self._train,
            sampler=SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=self._seed),
            X_pending=self._pending if len(self._pending) else None,
            prune_baseline=True,
        )
        return _array(acquisition(self._scaled(features).unsqueeze(1)))

    def _believing(self) -> GPScorer:
        """This scorer with the pending candidates observed at their posterior mean."""
        believer = object.__new__(GPScorer)
        believer.__dict__.update(self.__dict__)
        if len(self._pending):
            mean = self._model.marginals(self._pending)[0]
            model = ArchitectureGP(
                torch.cat([self._train, self._pending]), torch.cat([self._model.train_targets, mean])
            )
            model.load_state_dict(self._model.state_dict())
            model.eval()
            believer._model = model
        return believer


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(values.numpy(), dtype=np.float64)
