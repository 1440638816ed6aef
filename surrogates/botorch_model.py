"""Any surrogate as a BoTorch model over a fixed pool of architectures."""

from __future__ import annotations

from typing import Any

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.posteriors.posterior import Posterior
from gpytorch.distributions import MultivariateNormal

from po_nas.errors import SurrogateDataError
from surrogates.base import Surrogate
from surrogates.encodings import Encodings

__all__ = ["PoolModel"]

_JITTER = 1e-6
"""Share of its variance that is added to every architecture, so that covariances have a Cholesky factor."""


class PoolModel(Model):
    """The posterior of a fitted surrogate, for BoTorch's acquisition functions.

    Architectures are discrete, so a point X is the row of an architecture in `pool`, as a number: X has shape
    (…, q, 1). `indices` are all of them; acquisition values of the pool are ``acquisition(model.indices[:, None])``,
    and ``optimize_acqf_discrete(acquisition, q, choices=model.indices)`` picks a batch. There is no gradient.

    The posterior is jointly normal: the covariance of two architectures is that of the surrogate's samples, and what
    `std` has beyond them belongs to each architecture alone. The surrogate is asked once, when the model is made.
    """

    def __init__(self, surrogate: Surrogate, pool: Encodings) -> None:
        super().__init__()
        found = surrogate.posterior(pool)
        samples = found.samples.double()
        self._mean = found.mean.double()
        self._deviations = (samples - samples.mean(0)) / max(len(samples) - 1, 1) ** 0.5
        variance = found.std.double().square()
        self._own = (variance - self._deviations.square().sum(0)).clamp_min(0.0)

    @property
    def num_outputs(self) -> int:
        """One."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """There is one model."""
        return torch.Size([])

    @property
    def indices(self) -> torch.Tensor:
        """The points of the whole pool (N, 1), double."""
        return torch.arange(len(self._mean), dtype=torch.double, device=self._mean.device)[:, None]

    def posterior(
        self,
        X: torch.Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | torch.Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
        **options: Any,
    ) -> Posterior:
        """The joint posterior of points X (…, q, 1); observations of architectures are taken to be without noise."""
        rows = X[..., 0].round().long()
        if bool(((rows < 0) | (rows >= len(self._mean))).any()):
            raise SurrogateDataError(f"X holds rows outside of the pool, which has {len(self._mean)} architectures")
        deviations = self._deviations[:, rows].movedim(0, -1)
        same = rows[..., :, None] == rows[..., None, :]
        covariance = deviations @ deviations.mT + same * self._own[rows][..., None]
        jitter = torch.diag_embed(_JITTER * covariance.diagonal(dim1=-2, dim2=-1))
        found = GPyTorchPosterior(MultivariateNormal(self._mean[rows], covariance + jitter))
        return found if posterior_transform is None else posterior_transform(found)
