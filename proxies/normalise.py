"""Proxy scores of unlike scale made comparable: a scale is fitted to a sample, and then applied to anything.

Scores are (n, k), a proxy in each column, statistics by column. NaN and infinity are missing: a fit leaves them out,
and `Missing` says what becomes of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from po_nas.errors import ConfigError, ProxyValueError

__all__ = [
    "UNIT_SCALES",
    "Logarithms",
    "MinMax",
    "Missing",
    "NormalScores",
    "Normaliser",
    "Ranks",
    "UnitScaling",
    "mid_ranks",
    "normal_scores",
]

F64 = NDArray[np.float64]
Missing = Literal["nan", "middle", "failed"]
"""What becomes of a missing score: ``nan``, it stays missing; ``middle``, it gets the middle of the scale; ``failed``,
it gets the worst value where nearly all of the sample have the score, so that its computation has failed, else the
middle."""

_NEARLY_ALL = 0.9
_FAILED = -3.0
"""Normal score of what has failed within the sample."""
_SLOPE = 0.3
"""Normal score that a logarithmic unit beyond the range of the sample is worth."""


def normal_scores(y: F64) -> F64:
    """Normal quantiles of the ranks of `y` (n,), ties averaged: robust to outliers, finest where values crowd.

    Standardised accuracies of a cell space are a dense bulk with a long tail of failures; a model fitted to them spends
    its scale on the tail. Ranks do not care.
    """
    return np.asarray(ndtri((rankdata(y) - 0.5) / len(y)), dtype=np.float64)


def mid_ranks(ordered: F64, values: F64) -> F64:
    """How many of a sorted sample are below each of the values, those that are equal counting half."""
    below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.asarray((below + upto) / 2, dtype=np.float64)


class Normaliser(ABC):
    """A scale for each proxy, fitted to a sample.

    Args:
        sample: Scores (n, k) that the scale is fitted to; infinity is as good as missing.
        missing: What becomes of missing scores.

    Raises:
        ConfigError: for another policy.
        ProxyValueError: for a sample that is not (n, k).
    """

    middle: ClassVar[float] = 0.5
    worst: ClassVar[float] = 0.0

    def __init__(self, sample: ArrayLike, missing: Missing = "nan") -> None:
        if missing not in get_args(Missing):
            raise ConfigError("missing", missing, f"must be one of {', '.join(get_args(Missing))}")
        self.sample = np.asarray(sample, dtype=np.float64)
        if self.sample.ndim != 2:
            raise ProxyValueError("*", f"a sample must be (n, k), not of shape {self.sample.shape}")
        self.missing = missing
        self._known = np.isfinite(self.sample)

    @cached_property
    def fitted(self) -> F64:
        """The sample (n, k) on the scale."""
        return self.transform(self.sample)

    def transform(self, scores: F64) -> F64:
        """Scores (m, k) on the scale; they may leave the range of the sample."""
        if np.ndim(scores) != 2 or scores.shape[1] != self.sample.shape[1]:
            fitted = self.sample.shape[1]
            raise ProxyValueError("*", f"scores have shape {np.shape(scores)}, {fitted} columns were fitted")
        # The memory keeps its order, which decides the last digits of sums.
        found = np.full_like(scores, np.nan)
        for k, (column, into) in enumerate(zip(scores.T, found.T, strict=True)):
            present = np.isfinite(column)
            into[~present] = self._fill(k)
            into[present] = self._apply(k, column[present])
        return found

    @abstractmethod
    def _apply(self, k: int, values: F64) -> F64 | float:
        """Finite scores of proxy k on its scale."""

    def _failed(self, k: int) -> bool:
        return self.missing == "failed" and bool(self._known[:, k].mean() >= _NEARLY_ALL)

    def _fill(self, k: int) -> float:
        if self.missing == "nan":
            return np.nan
        return self.worst if self._failed(k) else self.middle


def _in_range(sample: F64, values: F64) -> F64 | float:
    """Values where the range of a sample is [0, 1]; 0.5 where it has none."""
    if not len(sample) or (low := sample.min()) == (high := sample.max()):
        return 0.5
    return np.asarray((values - low) / (high - low), dtype=np.float64)


class MinMax(Normaliser):
    """The range of the sample becomes [0, 1]; a proxy that is constant there is 0.5. Others may leave the range."""

    def _apply(self, k: int, values: F64) -> F64 | float:
        return _in_range(self.sample[self._known[:, k], k], values)


class Logarithms(Normaliser):
    """As `MinMax`, of sign(x) log(1 + |x| / m), where log m is the median of log |x| in the sample, zeros left out."""

    def _apply(self, k: int, values: F64) -> F64 | float:
        known = self.sample[self._known[:, k], k]
        sizes = np.abs(known[known != 0])
        unit = np.median(np.log(sizes)) if len(sizes) else 0.0
        with np.errstate(divide="ignore"):  # the logarithm of zero is minus infinity, as it is to be
            sample, logs = (np.sign(x) * np.logaddexp(0, np.log(np.abs(x)) - unit) for x in (known, values))
        return _in_range(sample, logs)


class Ranks(Normaliser):
    """The share of the sample that is lower, ties counting half; of others too. Missing where the sample has none."""

    def _apply(self, k: int, values: F64) -> F64 | float:
        known = np.sort(self.sample[self._known[:, k], k])
        return mid_ranks(known, values) / len(known) if len(known) else np.nan


UnitScaling = Literal["min_max", "log", "rank"]
UNIT_SCALES: Mapping[UnitScaling, type[Normaliser]] = {"min_max": MinMax, "log": Logarithms, "rank": Ranks}
"""Scales from 0 to 1, by name."""


class NormalScores(Normaliser):
    """Normal scores; others get those of the values next to theirs, beyond the range a little more each."""

    middle = 0.0
    worst = _FAILED

    @cached_property
    def fitted(self) -> F64:
        """The sample (n, k) on the scale."""
        columns = []
        for k, column in enumerate(self.sample.T):
            z = np.full(len(column), super()._fill(k))
            z[self._known[:, k]] = normal_scores(column[self._known[:, k]])
            columns.append(z)
        return np.stack(columns, axis=1)

    def _fill(self, k: int) -> float:
        return float(self.fitted[:, k].min()) if self._failed(k) else super()._fill(k)

    def _apply(self, k: int, values: F64) -> F64 | float:
        known = self._known[:, k]
        if not known.any():
            return self.middle
        sample, z = self.sample[known, k], self.fitted[known, k]
        steps, first = np.unique(sample, return_index=True)
        found = np.interp(values, steps, z[first])
        spread = float(np.subtract(*np.percentile(sample, [75, 25]))) or float(np.ptp(sample)) or 1.0
        beyond = np.clip(values - steps[-1], 0, None) - np.clip(steps[0] - values, 0, None)
        return np.asarray(found + _SLOPE * np.sign(beyond) * np.log1p(np.abs(beyond) / spread), dtype=np.float64)
