"""All losses ever seen, asked whether a new one is among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Archive"]

F64 = NDArray[np.float64]
_CLOSE = 0.01
_DIGITS = 2


class Archive:
    """Phenotypes (min-max normalised vectors) and patterns of gradient norms.

    Two losses are the same when their phenotypes are at most .01 apart in the Euclidean norm, or when the norms of
    their (scaled) gradients agree to two digits at every point of the probe. Nothing is compared that differs by more
    than that in one of a few projections, so a question costs microseconds among thousands.
    """

    def __init__(self, width: int) -> None:
        # Unit vectors, so that a projection differs by no more than the vectors do.
        draws = np.random.default_rng(0).standard_normal((width, 4))
        self._directions = draws / np.linalg.norm(draws, axis=0)
        self._vectors = np.empty((256, width))
        self._keys = np.empty((256, self._directions.shape[1]))
        self._patterns: set[bytes] = set()
        self._n = 0

    def __len__(self) -> int:
        """Number of phenotypes."""
        return self._n

    def near(self, phenotype: F64) -> bool:
        """Whether a phenotype like this one has been added."""
        key = phenotype @ self._directions
        rows = np.flatnonzero((np.abs(self._keys[: self._n] - key) <= _CLOSE).all(1))
        return bool(len(rows)) and bool((((self._vectors[rows] - phenotype) ** 2).sum(1) <= _CLOSE**2).any())

    def add(self, phenotype: F64) -> None:
        """Remember a phenotype."""
        if self._n == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.empty_like(self._vectors)])
            self._keys = np.concatenate([self._keys, np.empty_like(self._keys)])
        self._vectors[self._n], self._keys[self._n] = phenotype, phenotype @ self._directions
        self._n += 1

    def same_gradients(self, gradients: F64) -> bool:
        """Whether gradients (m, classes) of these norms have been seen; they are remembered."""
        norms = np.linalg.norm(gradients, axis=1)
        with np.errstate(divide="ignore"):
            exponent = np.floor(np.log10(np.where(norms > 0, norms, 1.0)))
        pattern = np.round(norms / 10.0**exponent * 10 ** (_DIGITS - 1)).astype(np.int16).tobytes()
        pattern += exponent.astype(np.int8).tobytes()
        known = pattern in self._patterns
        self._patterns.add(pattern)
        return known
