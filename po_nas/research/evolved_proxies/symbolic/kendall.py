"""Kendall's τ-b of many score vectors with one vector of accuracies, at the speed that evolution needs."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

__all__ = ["Kendall"]

F64: TypeAlias = NDArray[np.float64]

_LARGEST = 2_000
"""Architectures above which an n log n algorithm for each vector is faster than our n² bytes for all."""
_BLOCK = 255
"""Rows whose truth values an unsigned byte can add up."""
_AT_ONCE = 256
"""Vectors that are compared together; their ranks stay in the processor's cache."""


class Kendall:
    """τ-b with fixed accuracies (n,), equal to `scipy.stats.kendalltau`, ties on either side included.

    Architectures are put in the order of accuracy and scores become small integers, so that two scores are compared as
    bytes; for each distance in that order one comparison serves all pairs of all vectors.
    """

    def __init__(self, accuracy: F64) -> None:
        self._accuracy = np.asarray(accuracy, dtype=np.float64)
        self._order = np.argsort(self._accuracy, kind="stable")
        y = self._accuracy[self._order]
        n = len(y)
        self._pairs = n * (n - 1) // 2
        self._unlike: list[NDArray[np.intp] | None] = []
        self._like: list[NDArray[np.intp]] = []
        for distance in range(1, n if n <= _LARGEST else 1):
            same = y[distance:] == y[:-distance]
            self._unlike.append(np.flatnonzero(~same) if same.any() else None)
            self._like.append(np.flatnonzero(same))
        _, counts = np.unique(y, return_counts=True)
        self._tied = int((counts * (counts - 1) // 2).sum())

    def __call__(self, scores: F64) -> F64:
        """τ-b (m,) of m score vectors (m, n); 0 for a constant vector, NaN for one that holds a NaN."""
        scores = np.atleast_2d(np.asarray(scores, dtype=np.float64))
        found = np.empty(len(scores))
        if len(self._order) > _LARGEST:
            for row, vector in enumerate(scores):
                found[row] = _by_scipy(vector, self._accuracy)
            return found
        for start in range(0, len(scores), _AT_ONCE):
            block = scores[start : start + _AT_ONCE]
            found[start : start + len(block)] = self._of(block)
        found[np.isnan(scores).any(axis=1)] = np.nan
        return found

    def _of(self, scores: F64) -> F64:
        ranks, tied = _dense_ranks(scores[:, self._order])
        m = ranks.shape[1]
        concordant = np.zeros(m, dtype=np.int64)
        both = np.zeros(m, dtype=np.int64)
        for distance, (unlike, like) in enumerate(zip(self._unlike, self._like, strict=True), 1):
            later, earlier = ranks[distance:], ranks[:-distance]
            if unlike is None:
                _count(later > earlier, concordant)
                continue
            if len(unlike):
                _count(later[unlike] > earlier[unlike], concordant)
            _count(later[like] == earlier[like], both)
        # Pairs that differ in accuracy and in score are concordant or discordant.
        differ = self._pairs - self._tied - tied + both
        surplus = 2 * concordant - differ
        theirs, ours = float(self._pairs - self._tied), (self._pairs - tied).astype(np.float64)
        # Divided twice, as SciPy does it, so that not even the rounding differs.
        found = surplus / np.sqrt(np.maximum(ours, 1.0)) / np.sqrt(max(theirs, 1.0))
        return np.asarray(np.clip(found, -1.0, 1.0), dtype=np.float64)


def _count(truth: NDArray[np.bool_], into: NDArray[np.int64]) -> None:
    """Add up the truth values (k, m) over the first axis."""
    small = truth.view(np.uint8)
    for start in range(0, len(small), _BLOCK):
        into += np.add.reduce(small[start : start + _BLOCK], axis=0, dtype=np.uint8)


def _dense_ranks(scores: F64) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Ranks from 0, equal scores alike, (n, m); and the number of tied pairs of each vector, (m,)."""
    m, n = scores.shape
    order = np.argsort(scores, axis=1)
    arranged = np.take_along_axis(scores, order, axis=1)
    new = np.zeros((m, n), dtype=np.int16)
    np.not_equal(arranged[:, 1:], arranged[:, :-1], out=new[:, 1:], casting="unsafe")
    dense = np.add.accumulate(new, axis=1, dtype=np.int16)
    tied = np.zeros(m, dtype=np.int64)
    some = np.flatnonzero(dense[:, -1] < n - 1)
    if len(some):
        place = np.arange(n)
        begins = np.maximum.accumulate(np.where(new[some] > 0, place, 0), axis=1)
        tied[some] = (place - begins).sum(axis=1)
    ranks = np.empty((m, n), dtype=np.uint8 if n <= 256 else np.int16)
    np.put_along_axis(ranks, order, dense.astype(ranks.dtype), axis=1)
    return np.ascontiguousarray(ranks.T), tied


def _by_scipy(scores: F64, accuracy: F64) -> float:
    if np.isnan(scores).any():
        return float("nan")
    return 0.0 if np.all(scores == scores[0]) else float(kendalltau(scores, accuracy).statistic)
