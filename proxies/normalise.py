"""Scores of unlike scale made comparable, with the sample that they are compared with on record.

A normaliser is fitted on a sample and then applied to anything, one new architecture included. `scope` says what the
sample was: ``"pool"``, the whole set of candidates (transductive: an open search space has no such set), or ``"seen"``,
the architectures that were scored so far. Figures obtained under the two are not comparable, so it has no default.

Values are (n,), or (n, k) with a proxy in each column and statistics by column. NaN and infinity are missing: a fit
leaves them out, and they come out as NaN. What then becomes of them is for `proxies.fusion` to say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from po_nas.errors import ConfigError, ProxyValueError, UnknownNameError

__all__ = ["MinMax", "Normaliser", "ReferenceRank", "Scope", "SignedLog", "ZScore", "fit", "from_state"]

Scope = Literal["pool", "seen"]
_Column: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True)
class Normaliser(ABC):
    """Fitted statistics of each column; JSON-serialisable through `state` and `from_state`."""

    kind: ClassVar[str]

    scope: Scope
    columns: tuple[tuple[float, ...], ...]
    """What the transformation of each column needs."""

    @classmethod
    @abstractmethod
    def _statistics(cls, column: _Column) -> tuple[float, ...]:
        """Statistics of the finite values of one column, of which there is at least one."""

    @staticmethod
    @abstractmethod
    def _apply(column: _Column, statistics: tuple[float, ...]) -> _Column:
        """One column of finite values transformed."""

    def transform(self, values: ArrayLike) -> NDArray[np.float64]:
        """Values of the shape (n,) or (n, k) like those of the fit, transformed; missing ones are NaN."""
        given = np.asarray(values, dtype=np.float64)
        table = _table(given)
        if table.shape[1] != len(self.columns):
            raise ProxyValueError("*", f"{table.shape[1]} columns given, {len(self.columns)} were fitted")
        result = np.full(table.shape, np.nan)
        for k, statistics in enumerate(self.columns):
            present = np.isfinite(table[:, k])
            result[present, k] = self._apply(table[present, k], statistics)
        return result.reshape(given.shape)

    def state(self) -> dict[str, Any]:
        """A JSON-serialisable record."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class MinMax(Normaliser):
    """(z − min) / (max − min). New values may leave [0, 1]; a constant column gives 0.5 at its value."""

    kind: ClassVar[str] = "minmax"

    @classmethod
    def _statistics(cls, column: _Column) -> tuple[float, ...]:
        return float(column.min()), float(column.max())

    @staticmethod
    def _apply(column: _Column, statistics: tuple[float, ...]) -> _Column:
        low, high = statistics
        # Halves first: the difference of two large numbers of unlike sign may overflow.
        span = high / 2 - low / 2
        return (column / 2 - low / 2) / span if span > 0 else np.sign(column - low) / 2 + 0.5


@dataclass(frozen=True)
class ZScore(Normaliser):
    """(z − mean) / standard deviation (of the population); a constant column gives 0."""

    kind: ClassVar[str] = "z"

    @classmethod
    def _statistics(cls, column: _Column) -> tuple[float, ...]:
        # Scaled, so that squares of huge scores do not overflow.
        scale = float(np.abs(column).max()) or 1.0
        return float((column / scale).mean()), float((column / scale).std()), scale

    @staticmethod
    def _apply(column: _Column, statistics: tuple[float, ...]) -> _Column:
        mean, deviation, scale = statistics
        # A constant column has a deviation of rounding errors.
        return (column / scale - mean) / deviation if deviation > 1e-14 else np.zeros_like(column)


@dataclass(frozen=True)
class SignedLog(Normaliser):
    """sign(z) log(1 + |z|): the same whatever the sample was."""

    kind: ClassVar[str] = "signed_log"

    @classmethod
    def _statistics(cls, column: _Column) -> tuple[float, ...]:
        return ()

    @staticmethod
    def _apply(column: _Column, statistics: tuple[float, ...]) -> _Column:
        return np.sign(column) * np.log1p(np.abs(column))


@dataclass(frozen=True)
class ReferenceRank(Normaliser):
    """The share of the sample that a value exceeds, ties counting half: in [0, 1], and 0.5 for a constant column.

    The sample is stored, so one new architecture can be ranked against it.
    """

    kind: ClassVar[str] = "rank"

    @classmethod
    def _statistics(cls, column: _Column) -> tuple[float, ...]:
        return tuple(np.sort(column).tolist())

    @staticmethod
    def _apply(column: _Column, statistics: tuple[float, ...]) -> _Column:
        sample = np.array(statistics)
        below, upto = np.searchsorted(sample, column, "left"), np.searchsorted(sample, column, "right")
        return (below + upto) / (2 * len(sample))


_KINDS: dict[str, type[Normaliser]] = {c.kind: c for c in (MinMax, ZScore, SignedLog, ReferenceRank)}


def fit(kind: str, values: ArrayLike, *, scope: Scope) -> Normaliser:
    """The normaliser ``minmax``, ``z``, ``signed_log`` or ``rank``, fitted on `values` (n,) or (n, k).

    Raises `UnknownNameError` for another kind, and `ProxyValueError` when a column has no finite value.
    """
    if kind not in _KINDS:
        raise UnknownNameError("normaliser", kind, _KINDS)
    if scope not in ("pool", "seen"):
        raise ConfigError("scope", scope, "must be 'pool' (all candidates) or 'seen' (those scored so far)")
    table = _table(np.asarray(values, dtype=np.float64))
    columns = []
    for k in range(table.shape[1]):
        finite = table[np.isfinite(table[:, k]), k]
        if not len(finite):
            raise ProxyValueError("*", f"column {k} has no finite value to fit a normaliser on")
        columns.append(_KINDS[kind]._statistics(finite))
    return _KINDS[kind](scope, tuple(columns))


def from_state(state: Mapping[str, Any]) -> Normaliser:
    """The normaliser that `Normaliser.state` described."""
    kind = state.get("kind")
    if kind not in _KINDS:
        raise UnknownNameError("normaliser", str(kind), _KINDS)
    columns = tuple(tuple(float(v) for v in column) for column in state["columns"])
    return _KINDS[kind](state["scope"], columns)


def _table(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.ndim not in (1, 2):
        raise ProxyValueError("*", f"values must be (n,) or (n, k), not of shape {values.shape}")
    return values.reshape(len(values), -1) if values.ndim == 2 else values[:, None]
