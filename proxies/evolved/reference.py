"""Scores of unlike scale as the leaves of a formula, by what a stored reference sample says of each.

A reference is fitted once on a sample of architectures and then applies to any other, one alone included: an evolved
proxy means the same wherever it is computed. Scores are relative to the kind of architecture that the sample was
drawn from; a proxy for another space wants a reference of that space (no accuracies are needed for one).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from po_nas.errors import ConfigError, EvolvedProxyError, UnknownNameError
from proxies.evolved.functions import bounded

__all__ = ["NORMALISERS", "Kind", "Missing", "Reference", "fit"]

F64: TypeAlias = NDArray[np.float64]
Kind = Literal["rank", "raw", "signed_log", "zscore"]
"""``rank``: share of the sample below, ties half, between its points linear; ``raw``: as it comes; ``signed_log``:
sign(x) log(1 + |x|); ``zscore``: signed log, then (x − mean) / standard deviation, within ± 10."""
Missing = Literal["middle", "invalid"]
"""What becomes of a missing score: the middle of the sample, or the whole formula has no value."""

NORMALISERS: tuple[str, ...] = get_args(Kind)
_POINTS = 257
"""Quantiles that are kept of a larger sample."""
_FARTHEST = 10.0


@dataclass(frozen=True)
class Reference:
    """What is known of each leaf: `samples` maps it to sorted scores (at most 257 quantiles of the sample).

    `size` is the number of architectures of the sample, `source` says which.
    """

    kind: Kind
    samples: Mapping[str, tuple[float, ...]]
    size: int
    source: str = ""
    missing: Missing = "middle"

    def __post_init__(self) -> None:
        if self.kind not in NORMALISERS:
            raise UnknownNameError("normaliser", self.kind, NORMALISERS)
        if self.missing not in get_args(Missing):
            raise ConfigError("missing", self.missing, "must be 'middle' or 'invalid'")

    def transform(self, leaf: str, scores: ArrayLike) -> F64:
        """Scores (n,) of one leaf, normalised and finite; with ``invalid`` missing ones (NaN, infinite) are NaN.

        Raises `UnknownNameError` for a leaf that the reference does not know.
        """
        if leaf not in self.samples:
            raise UnknownNameError("leaf of the reference", leaf, self.samples)
        values = np.asarray(scores, dtype=np.float64)
        gone = ~np.isfinite(values)
        sample = np.asarray(self.samples[leaf], dtype=np.float64)
        found = _normalised(self.kind, values if not gone.any() else np.where(gone, 0.0, values), sample)
        if gone.any():
            found = np.where(gone, self._middle(sample) if self.missing == "middle" else np.nan, found)
        return found

    def _middle(self, sample: F64) -> float:
        if self.kind == "rank":
            return 0.5
        if self.kind == "zscore" or not len(sample):
            return 0.0
        return float(_normalised(self.kind, np.array([np.median(sample)]), sample)[0])

    def state(self) -> dict[str, Any]:
        """A JSON-serialisable record."""
        return {
            "kind": self.kind,
            "missing": self.missing,
            "size": self.size,
            "source": self.source,
            "samples": {leaf: list(sample) for leaf, sample in self.samples.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Reference:
        """The reference that `state` described; `EvolvedProxyError` for anything else."""
        try:
            samples = {str(leaf): tuple(float(v) for v in sample) for leaf, sample in dict(state["samples"]).items()}
            found = cls(state["kind"], samples, int(state["size"]), str(state["source"]), state["missing"])
        except (KeyError, TypeError, ValueError) as error:
            raise EvolvedProxyError("", f"a reference of it is damaged ({type(error).__name__}: {error})") from error
        for leaf, sample in samples.items():
            if not np.isfinite(sample).all() or list(sample) != sorted(sample):
                raise EvolvedProxyError("", f"the reference sample of {leaf!r} is not a sorted list of finite numbers")
        return found


def fit(
    kind: str, columns: Mapping[str, ArrayLike], *, source: str = "", missing: Missing = "middle", points: int = _POINTS
) -> Reference:
    """A reference of scores (n,) by leaf; missing ones are left out.

    A sample of more than `points` scores is kept as that many quantiles. A leaf without any score has an empty sample,
    so all its scores come out as the middle.
    """
    samples: dict[str, tuple[float, ...]] = {}
    size = 0
    for leaf, scores in columns.items():
        values = np.asarray(scores, dtype=np.float64)
        size = max(size, len(values))
        finite = np.sort(bounded(values[np.isfinite(values)]))
        if len(finite) > points:
            finite = np.quantile(finite, np.linspace(0, 1, points))
        samples[leaf] = tuple(finite.tolist())
    return Reference(kind, samples, size, source, missing)  # type: ignore[arg-type]


def _normalised(kind: Kind, values: F64, sample: F64) -> F64:
    values = bounded(values)
    if kind == "raw":
        return values
    if kind == "signed_log":
        return _signed_log(values)
    if kind == "zscore":
        logs = _signed_log(sample)
        mean, deviation = (float(logs.mean()), float(logs.std())) if len(logs) else (0.0, 0.0)
        # A constant sample has a deviation of rounding errors.
        if deviation <= 1e-12 * max(1.0, abs(mean)):
            return np.zeros_like(values)
        return np.clip((_signed_log(values) - mean) / deviation, -_FARTHEST, _FARTHEST)
    if not len(sample):
        return np.full(values.shape, 0.5)
    known, counts = np.unique(sample, return_counts=True)
    last = np.cumsum(counts)
    return np.interp(values, known, (last - counts / 2) / len(sample))


def _signed_log(values: F64) -> F64:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
