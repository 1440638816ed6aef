"""Kernels over a fixed list of candidate architectures, column by column: what is never asked for is never computed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.switches import default_switches
from surrogates.choice_kernel import ChoiceKernel

__all__ = ["Component", "LearnedSimilarity", "Linear", "Similarity", "VaryingCoefficients", "matern"]

_COLUMNS = 512
"""Columns that are kept; what falls out is computed again."""
_PAIRS = 2_000


class Component(ABC):
    """One term of a sum of kernels over m candidates.

    `cross_covariance_inputs` prepares what all length scales share; `kernel` turns any rows of it into covariances of
    unit amplitude.
    """

    @abstractmethod
    def cross_covariance_inputs(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """What all candidates have to do with those at `indices`: tensors (m, n), float32."""

    @abstractmethod
    def kernel(self, prepared: tuple[torch.Tensor, ...], scale: torch.Tensor | float) -> torch.Tensor:
        """Covariances for prepared columns or rows of them; `scale` is the length scale, in typical distances."""

    @abstractmethod
    def diagonal(self) -> torch.Tensor:
        """Prior variances of the candidates (m,), or one for all ()."""

    def coefficients(
        self, alpha: torch.Tensor, observed: Sequence[int], scale: float, weight: float
    ) -> torch.Tensor | None:
        """Posterior mean of the coefficients of the features, where this is a linear function of features.

        Args:
            alpha: Of the n observed candidates in the posterior mean (n,).
            observed: Their places among the candidates.
            scale: The length scale.
            weight: Of this kernel in the sum.

        Returns:
            Coefficients (m, k), or (k,) where they are the same for all candidates; None for any other function.
        """
        return None


class _Columns:
    """Columns of an (m, m) matrix that is never made, the latest `_COLUMNS` of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, torch.Tensor] = OrderedDict()

    def get(self, index: int, features: torch.Tensor, squares: torch.Tensor | None, scale: float) -> torch.Tensor:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        column = features @ features[index]
        if squares is not None:
            column = (squares + squares[index] - 2 * column).clamp_min_(0).sqrt_().div_(scale)
        self._kept[index] = column
        if len(self._kept) > _COLUMNS:
            self._kept.popitem(last=False)
        return column


class Similarity(Component):
    """Matérn-5/2 of the Euclidean distance of `features` (m, d) in units of `scale`.

    By default that is the median distance of random pairs.
    """

    @default_switches()
    def __init__(self, features: NDArray[np.floating], scale: float | None = None) -> None:
        self._features = torch.as_tensor(np.asarray(features, dtype=np.float32))
        self._squares = self._features.square().sum(1)
        self.scale = self._median() if scale is None else scale
        """What a distance is divided by."""
        self._columns = _Columns()

    def _median(self) -> float:
        rng = np.random.default_rng(0)
        first, second = rng.integers(len(self._features), size=(2, _PAIRS))
        apart = (self._features[first] - self._features[second]).norm(dim=1)
        apart = apart[apart > 0]
        return float(apart.median()) if len(apart) else 1.0

    def cross_covariance_inputs(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Distances (m, n)."""
        return (torch.stack([self._columns.get(i, self._features, self._squares, self.scale) for i in indices], 1),)

    def kernel(self, prepared: tuple[torch.Tensor, ...], scale: torch.Tensor | float) -> torch.Tensor:
        return matern(prepared[0] / scale)

    def diagonal(self) -> torch.Tensor:
        return torch.ones(())


class LearnedSimilarity(Component):
    """A kernel over `features` (m, d) whose scales are fitted already, in units of its variance."""

    def __init__(self, features: NDArray[np.floating], kernel: ChoiceKernel) -> None:
        self._features, self._kernel = torch.as_tensor(np.asarray(features, dtype=np.float64)), kernel
        self._kept: dict[int, torch.Tensor] = {}

    @torch.no_grad()
    def cross_covariance_inputs(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Correlations (m, n)."""
        missing = [index for index in dict.fromkeys(indices) if index not in self._kept]
        if missing:
            found = self._kernel.forward(self._features, self._features[missing]) / self._kernel.variance
            self._kept.update(zip(missing, found.float().T, strict=True))
        return (torch.stack([self._kept[index] for index in indices], 1),)

    def kernel(self, prepared: tuple[torch.Tensor, ...], scale: torch.Tensor | float) -> torch.Tensor:
        """The correlations, whatever the scale."""
        return prepared[0]

    def diagonal(self) -> torch.Tensor:
        return torch.ones(())


class Linear(Component):
    """A linear function of `features` (m, k): one weight per feature, the same for all candidates, mean zero a priori.

    Prior variances average 1 over the candidates, unless `norm` is given.
    """

    @default_switches()
    def __init__(self, features: NDArray[np.floating], norm: float | None = None) -> None:
        raw = torch.as_tensor(np.asarray(features, dtype=np.float32))
        self.norm = (float(raw.square().sum(1).mean().sqrt()) or 1.0) if norm is None else norm
        """What features are divided by."""
        self.features = raw / self.norm
        self._columns = _Columns()

    def cross_covariance_inputs(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Inner products (m, n)."""
        return (torch.stack([self._columns.get(i, self.features, None, 1.0) for i in indices], 1),)

    def kernel(self, prepared: tuple[torch.Tensor, ...], scale: torch.Tensor | float) -> torch.Tensor:
        return prepared[0]

    def diagonal(self) -> torch.Tensor:
        """Squared lengths (m,)."""
        return self.features.square().sum(1).double()

    def coefficients(self, alpha: torch.Tensor, observed: Sequence[int], scale: float, weight: float) -> torch.Tensor:
        """One vector (k,) for all candidates."""
        return weight / self.norm * (alpha @ self.features[list(observed)].double())


class VaryingCoefficients(Component):
    """A linear function whose weights differ from candidate to candidate: each is a Gaussian process of its own.

    f(A) = Σ_m w_m(A) z_m(A), every w_m with the kernel of `similarity`, so alike architectures have like weights. Its
    covariance is that of `linear` times that of `similarity`.
    """

    def __init__(self, linear: Linear, similarity: Similarity) -> None:
        self.linear, self.similarity = linear, similarity

    def cross_covariance_inputs(self, indices: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Inner products and distances, both (m, n)."""
        return (*self.linear.cross_covariance_inputs(indices), *self.similarity.cross_covariance_inputs(indices))

    def kernel(self, prepared: tuple[torch.Tensor, ...], scale: torch.Tensor | float) -> torch.Tensor:
        return prepared[0] * matern(prepared[1] / scale)

    def diagonal(self) -> torch.Tensor:
        """Squared lengths (m,)."""
        return self.linear.diagonal()

    def coefficients(self, alpha: torch.Tensor, observed: Sequence[int], scale: float, weight: float) -> torch.Tensor:
        """For each candidate its own (m, k)."""
        z = self.linear.features[list(observed)].double()
        near = self.similarity.kernel(self.similarity.cross_covariance_inputs(observed), scale)
        return weight / self.linear.norm * (near.double() @ (alpha[:, None] * z))


def matern(distances: torch.Tensor) -> torch.Tensor:
    """Matérn-5/2 of distances in length scales."""
    scaled = math.sqrt(5.0) * distances
    # In place: these matrices are as tall as the space.
    polynomial = scaled.square().div_(3.0).add_(scaled).add_(1.0)
    return polynomial.mul_(scaled.neg_().exp_())
