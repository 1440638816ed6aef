"""Metrics of candidates on a scale, and the same scale for architectures that join them later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from po_nas.methods.candidates import MetricPool
from po_nas.methods.metric_bo import Features

__all__ = ["MinMax", "NormalScores", "Ranks", "Scaled", "min_max", "ranks", "scaled_features"]

_SLOPE = 0.3
"""Normal score that a logarithmic unit beyond the range of the candidates is worth."""


@dataclass(frozen=True, eq=False)
class Scaled(ABC):
    """Metrics of a pool, scaled by what the pool holds."""

    pool: MetricPool

    @property
    @abstractmethod
    def values(self) -> NDArray[np.float64]:
        """Scaled metrics (n, k) of the pool."""

    @abstractmethod
    def others(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled metrics (a, k) of others from their raw ones, NaN where missing."""


class MinMax(Scaled):
    """The range over the pool becomes [0, 1], a constant metric 0.5; NaN stays. Others may leave the range."""

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """See the class."""
        return self.others(self.pool.values)

    def others(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """See the class."""
        low, high = self._range
        width = np.where(high > low, high - low, 1.0)
        return np.where(np.isnan(raw), np.nan, np.where(high > low, (raw - low) / width, 0.5))

    @cached_property
    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        known = np.isfinite(self.pool.values)
        values = self.pool.values
        low = np.where(known, values, np.inf).min(axis=0)
        high = np.where(known, values, -np.inf).max(axis=0)
        return low, high


class Ranks(Scaled):
    """The share of the pool's known values that are lower, ties counting half; NaN stays. Others are in [0, 1] too."""

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """See the class."""
        return self.others(self.pool.values)

    def others(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """See the class."""
        found = np.full_like(raw, np.nan)
        for column, values, into in zip(raw.T, self.pool.values.T, found.T, strict=True):
            known, present = np.sort(values[np.isfinite(values)]), np.isfinite(column)
            if len(known):
                sides = [np.searchsorted(known, column[present], side) for side in ("left", "right")]
                into[present] = (sides[0] + sides[1]) / (2 * len(known))
        return found


@dataclass(frozen=True, eq=False)
class NormalScores(Scaled):
    """Normal scores; others get those of the pool's values next to theirs, beyond the range a little more each."""

    z: NDArray[np.float64]

    @property
    def values(self) -> NDArray[np.float64]:
        """Normal scores (n, k) of the pool, what is missing filled in as the method does."""
        return self.z

    def others(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """See the class; what is missing gets the worst score of the pool where that has it all, else zero."""
        found = np.zeros_like(raw)
        for column, values, z, into in zip(raw.T, self.pool.values.T, self.z.T, found.T, strict=True):
            known, present = np.isfinite(values), np.isfinite(column)
            if not known.any():
                continue
            into[:] = 0.0 if known.mean() < 1.0 and z[~known].max() == 0.0 else z.min()
            into[present] = _score(column[present], values[known], z[known])
        return found


def _score(new: NDArray[np.float64], values: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    steps, first = np.unique(values, return_index=True)
    found = np.interp(new, steps, z[first])
    spread = float(np.subtract(*np.percentile(values, [75, 25]))) or float(np.ptp(values)) or 1.0
    beyond = np.clip(new - steps[-1], 0, None) - np.clip(steps[0] - new, 0, None)
    return np.asarray(found + _SLOPE * np.sign(beyond) * np.log1p(np.abs(beyond) / spread), dtype=np.float64)


@lru_cache(maxsize=2)
def min_max(pool: MetricPool) -> MinMax:
    """The same object for the same pool."""
    return MinMax(pool)


@lru_cache(maxsize=2)
def ranks(pool: MetricPool) -> Ranks:
    """The same object for the same pool."""
    return Ranks(pool)


@lru_cache(maxsize=2)
def scaled_features(features: Features) -> NormalScores:
    """The same object for the same candidates."""
    return NormalScores(features.pool, features.z)
