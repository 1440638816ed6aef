"""Several proxies made one, without training: rank fusions, the single best and the three of LIBRA.

Scores are (n, k): an architecture in each row, a proxy in each column, higher = better (`oriented` sees to that).
`missing` says what becomes of NaN, in each column by itself: ``"last"`` ranks it below everything, ``"middle"`` gives
it the middle rank, ``"raise"`` refuses it. Ranks are shares in (0, 1], 1 the best, ties averaged. Without a `reference`
they are taken among the scores themselves, which is transductive; with one (m, k) among its rows and the one that is
ranked, so an architecture's rank does not depend on what else is ranked.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, rankdata, spearmanr

from po_nas.errors import ConfigError, ProxyValueError, short
from proxies.normalise import mid_ranks
from proxies.registration import spec

__all__ = [
    "AZ_NAS",
    "VKDNW",
    "Libra",
    "Missing",
    "SingleBest",
    "information_gain",
    "libra",
    "log_rank",
    "mean_rank",
    "oriented",
    "ranks",
    "redundant",
    "single_best",
]

Missing = Literal["last", "middle", "raise"]

AZ_NAS = ("az_expressivity", "az_progressivity", "az_trainability", "flops")
"""What AZ-NAS adds up the log ranks of (`log_rank`); multiply-accumulates are its complexity."""

VKDNW = ("vkdnw", "jacov", "az_expressivity", "az_trainability", "flops")
"""What VKDNW aggregated adds up the log ranks of: Týbl and Neumann, CVPR 2025, arXiv 2502.04975."""


def oriented(scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Columns of scores by proxy, (n, k), turned so that higher is better.

    Raises `ConfigError` for a proxy whose direction nobody knows; turn such a column yourself. Raises `ProxyValueError`
    for columns that are none or differ in length.
    """
    columns = []
    for name, values in _columns(scores).items():
        direction = spec(name).direction
        if direction is None:
            raise ConfigError("direction", None, f"of proxy {name!r} is not known; decide it and pass its column as is")
        columns.append(direction * values)
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


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProxyValueError("*", f"{name} must be numbers in rows of one length ({error})") from error


def _columns(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Scores (n,) by proxy, of one n."""
    found = {name: _numbers(values, f"scores of {name!r}") for name, values in scores.items()}
    shapes = {column.shape for column in found.values()}
    if len(shapes) != 1 or any(len(shape) != 1 for shape in shapes):
        raise ProxyValueError("*", f"scores of each proxy must be (n,) with one n, not {short(sorted(shapes))}")
    return found


def _checked(scores: ArrayLike, missing: Missing) -> NDArray[np.float64]:
    table = _numbers(scores, "scores")
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
    table = _checked(scores, "last")
    known = _known(targets, "targets", len(table))
    taus = []
    for k in range(table.shape[1]):
        present = ~np.isnan(table[:, k])
        tau = kendalltau(table[present, k], known[present]).statistic if present.sum() > 1 else np.nan
        taus.append(float(tau))
    if np.isnan(taus).all():
        raise ProxyValueError("*", "no proxy tells the architectures apart")
    best = int(np.nanargmax(np.abs(taus)))
    return SingleBest(best, 1 if taus[best] >= 0 else -1, taus[best])


def redundant(scores: Mapping[str, ArrayLike], at_least: float = 0.95) -> list[tuple[str, str, float]]:
    """Pairs of proxies whose scores (n,) order the same architectures almost alike, or the other way round.

    Names and Spearman's ρ over the architectures that have both, where |ρ| is `at_least`; the strongest first. Raises
    `ProxyValueError` for columns that differ in length.
    """
    columns = _columns(scores) if scores else {}
    pairs = [(a, b, _spearman(columns[a], columns[b])) for a, b in itertools.combinations(columns, 2)]
    return sorted((pair for pair in pairs if abs(pair[2]) >= at_least), key=lambda pair: -abs(pair[2]))


def _known(values: ArrayLike, name: str, count: int) -> NDArray[np.float64]:
    known = _numbers(values, name)
    if known.shape != (count,) or not np.isfinite(known).all():
        raise ProxyValueError("*", f"{name} must be {count} finite numbers, not of shape {known.shape}")
    return known


@dataclass(frozen=True, slots=True)
class Libra:
    """One to three columns, best first, with their signs and the Spearman ρ that they were chosen by."""

    columns: tuple[int, ...]
    signs: tuple[int, ...]
    rhos: tuple[float, ...]

    def chosen(self, scores: ArrayLike) -> NDArray[np.float64]:
        """The chosen columns of (n, k) scores, turned up, (n, up to 3)."""
        return _checked(scores, "last")[:, self.columns] * np.array(self.signs, dtype=np.float64)

    def __call__(
        self, scores: ArrayLike, *, missing: Missing = "last", reference: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """`log_rank` of the chosen columns, (n,)."""
        base = None if reference is None else self.chosen(reference)
        return log_rank(self.chosen(scores), missing=missing, reference=base)


def libra(scores: ArrayLike, targets: ArrayLike, sizes: ArrayLike, *, near: float = 0.1) -> Libra:
    """Low information gain and bias re-alignment: three proxies that go together, by known `targets` (n,).

    The first is the proxy with the largest |Spearman ρ| to the targets, higher = better. Of those whose |ρ| is less
    than `near` below it, the second is the one of the least `information_gain` beside the first, and the third the one
    whose ρ with `sizes` (n,), numbers of parameters, is nearest to that of the targets. Fewer are chosen where fewer
    are near. Each counts with the sign of its ρ; missing scores are left out. Ties go to the earlier column.

    How the three are made one is not said in the publication; here by `log_rank`. Raises `ProxyValueError` when no
    column can be ranked.

    References: Casarin, Escalera and Lanz, L-SWAG, CVPR 2025, arXiv 2505.07300, algorithm 1.
    """
    table = _checked(scores, "last")
    known, size = _known(targets, "targets", len(table)), _known(sizes, "sizes", len(table))
    found = [_spearman(column, known) for column in table.T]
    if np.isnan(found).all():
        raise ProxyValueError("*", "no proxy tells the architectures apart")
    rhos = np.nan_to_num(found)
    turned = table * np.where(rhos < 0, -1.0, 1.0)
    # Rounded, so that what is equal but for the last digit is a tie.
    best = int(np.argmax(np.abs(rhos).round(9)))
    left = [k for k in range(len(rhos)) if k != best and not np.isnan(found[k])]
    left = [k for k in left if abs(rhos[k]) > abs(rhos[best]) - near]
    columns = [best]
    if left:
        columns.append(min(left, key=lambda k: round(information_gain(known, turned[:, best], turned[:, k]), 9)))
    left = [k for k in left if k not in columns]
    bias = _spearman(size, known)
    gaps = {k: round(abs(_spearman(turned[:, k], size) - bias), 9) for k in left}
    if any(np.isfinite(gap) for gap in gaps.values()):
        columns.append(min(left, key=lambda k: gaps[k] if np.isfinite(gaps[k]) else np.inf))
    signs = tuple(1 if rhos[k] >= 0 else -1 for k in columns)
    return Libra(tuple(columns), signs, tuple(float(rhos[k]) for k in columns))


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """ρ over the rows that have both; NaN where there is none."""
    rows = ~np.isnan(first) & ~np.isnan(second)
    if rows.sum() < 2 or np.ptp(first[rows]) == 0 or np.ptp(second[rows]) == 0:
        return np.nan
    return float(spearmanr(first[rows], second[rows]).statistic)


def information_gain(targets: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """H(y | first) - H(y | first, second), bits: what a score (n,) tells of the targets y beside another one.

    All are put into bins of equal counts, as many as the cube root of n; rows without one of the scores are left out.
    Raises `ProxyValueError` where the lengths differ.

    References: Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230.
    """
    columns = list(_columns({"targets": targets, "first": first, "second": second}).values())
    rows = ~np.isnan(columns).any(axis=0)
    y, one, two = (_bins(column[rows]) for column in columns)
    return (_entropy(y, one) - _entropy(one)) - (_entropy(y, one, two) - _entropy(one, two))


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bins of equal counts; equal values share one."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    count = max(1, round(len(values) ** (1 / 3)))
    return np.asarray((rankdata(values) - 0.5) * count // len(values), dtype=np.int64)


def _entropy(*labels: NDArray[np.int64]) -> float:
    """Of the joint distribution of labels (n,), in bits."""
    counts = np.unique(np.stack(labels), axis=1, return_counts=True)[1]
    shares = counts / counts.sum() if len(counts) else np.ones(1)
    return float(-(shares * np.log2(shares)).sum())
