"""Several proxies made one, without training: rank fusions and the single best.

Scores are (n, k): an architecture in each row, a proxy in each column, higher = better (`oriented` sees to that).
`missing` says what becomes of NaN, in each column by itself: ``"last"`` ranks it below everything, ``"middle"`` gives
it the middle rank, ``"raise"`` refuses it. Ranks are shares in (0, 1], 1 the best, ties averaged. Without a `reference`
they are taken among the scores themselves, which is transductive; with one (m, k) among its rows and the one that is
ranked, so an architecture's rank does not depend on what else is ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, rankdata

from po_nas.errors import ConfigError, ProxyValueError
from proxies.normalise import mid_ranks
from proxies.registration import spec

__all__ = ["AZ_NAS", "VKDNW", "Missing", "SingleBest", "log_rank", "mean_rank", "oriented", "ranks", "single_best"]

Missing = Literal["last", "middle", "raise"]

AZ_NAS = ("az_expressivity", "az_progressivity", "az_trainability", "flops")
"""What AZ-NAS adds up the log ranks of (`log_rank`); multiply-accumulates are its complexity."""

VKDNW = ("vkdnw", "jacov", "az_expressivity", "az_trainability", "flops")
"""What VKDNW aggregated adds up the log ranks of: Týbl and Neumann, CVPR 2025, arXiv 2502.04975."""


def oriented(scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Columns of scores by proxy, (n, k), turned so that higher is better.

    Raises `ConfigError` for a proxy whose direction nobody knows; turn such a column yourself.
    """
    columns = []
    for name, values in scores.items():
        direction = spec(name).direction
        if direction is None:
            raise ConfigError("direction", None, f"of proxy {name!r} is not known; decide it and pass its column as is")
        columns.append(direction * np.asarray(values, dtype=np.float64))
    return np.stack(columns, axis=1)


def ranks(scores: ArrayLike, *, missing: Missing = "last", reference: ArrayLike | None = None) -> NDArray[np.float64]:
    """Ranks of (n, k) scores by column, in (0, 1]."""
    table = _checked(scores, missing)
    base = None if reference is None else _checked(reference, "last")
    if base is not None and base.shape[1] != table.shape[1]:
        raise ProxyValueError("*", f"the reference has {base.shape[1]} columns, the scores {table.shape[1]}")
    return np.stack(
        [_column(table[:, k], missing, None if base is None else base[:, k]) for k in range(table.shape[1])], axis=1
    )


def _column(column: NDArray[np.float64], missing: Missing, base: NDArray[np.float64] | None) -> NDArray[np.float64]:
    gone = np.isnan(column)
    filled = np.where(gone, -np.inf, column)
    if base is None:
        if missing == "middle":
            result = np.full(len(column), 0.5)
            result[~gone] = rankdata(column[~gone]) / max(1, (~gone).sum())
            return result
        return np.asarray(rankdata(filled) / len(column), dtype=np.float64)
    sample = np.sort(base[~np.isnan(base)] if missing == "middle" else np.where(np.isnan(base), -np.inf, base))
    result = (1 + mid_ranks(sample, filled)) / (1 + len(sample))
    return np.where(gone, 0.5, result) if missing == "middle" else result


def _checked(scores: ArrayLike, missing: Missing) -> NDArray[np.float64]:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ProxyValueError("*", f"scores must be (n, k) with n and k at least 1, not of shape {table.shape}")
    if missing not in ("last", "middle", "raise"):
        raise ConfigError("missing", missing, "must be 'last', 'middle' or 'raise'")
    if missing == "raise" and np.isnan(table).any():
        rows, columns = np.nonzero(np.isnan(table))
        raise ProxyValueError("*", f"{len(rows)} scores are missing, the first in row {rows[0]}, column {columns[0]}")
    return table


def mean_rank(
    scores: ArrayLike, *, missing: Missing = "last", reference: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Mean of the ranks over the proxies, (n,)."""
    return np.asarray(ranks(scores, missing=missing, reference=reference).mean(1), dtype=np.float64)


def log_rank(
    scores: ArrayLike, *, missing: Missing = "last", reference: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Sum of the logarithms of the ranks, (n,): the order of their product. One bad rank weighs more than a good one.

    References: Lee and Ham, AZ-NAS, CVPR 2024, arXiv 2403.19232.
    """
    return np.asarray(np.log(ranks(scores, missing=missing, reference=reference)).sum(1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class SingleBest:
    """One column and its sign, with the Kendall τ that chose it."""

    column: int
    sign: int
    tau: float

    def __call__(self, scores: ArrayLike, *, missing: Missing = "last") -> NDArray[np.float64]:
        """The chosen proxy alone, (n,), turned up; missing values as minus infinity, or the median for ``"middle"``."""
        chosen = self.sign * _checked(scores, missing)[:, self.column]
        fill = -np.inf if missing == "last" else float(np.nanmedian(chosen)) if np.isfinite(chosen).any() else 0.0
        return np.where(np.isnan(chosen), fill, chosen)


def single_best(scores: ArrayLike, targets: ArrayLike) -> SingleBest:
    """The proxy with the largest |Kendall τ-b| to known `targets` (n,), higher = better; missing scores are left out.

    Raises `ProxyValueError` when no column can be ranked (constant, or fewer than two scores).
    """
    table, known = _checked(scores, "last"), np.asarray(targets, dtype=np.float64)
    if known.shape != (len(table),) or not np.isfinite(known).all():
        raise ProxyValueError("*", f"targets must be {len(table)} finite numbers, not of shape {known.shape}")
    taus = []
    for k in range(table.shape[1]):
        present = ~np.isnan(table[:, k])
        tau = kendalltau(table[present, k], known[present]).statistic if present.sum() > 1 else np.nan
        taus.append(float(tau))
    if np.isnan(taus).all():
        raise ProxyValueError("*", "no proxy tells the architectures apart")
    best = int(np.nanargmax(np.abs(taus)))
    return SingleBest(best, 1 if taus[best] >= 0 else -1, taus[best])
