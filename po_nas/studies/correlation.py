"""How well training-free metrics order architectures: over a whole benchmark and within groups of alike ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas import benchmarks
from po_nas.benchmarks import scores
from po_nas.benchmarks.base import Benchmark
from po_nas.errors import MissingDataError, UnknownNameError
from po_nas.studies import ranking
from po_nas.studies.groups import groups_of

__all__ = ["Agreement", "agreements", "as_table", "correlate_published"]

_LARGEST_RESAMPLE = 500


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of one score with one task, over the `rows` of a group that have both.

    `coverage` is the share of the group's rows that have the score. `kendall` is τ_b with its bootstrap 95 % interval;
    `precision` is Precision@5 % in %; `against` says whether validation or test was ordered. The sign is as it comes:
    a score that falls with accuracy has a negative τ.
    """

    benchmark: str
    score: str
    group: str
    against: str
    rows: int
    coverage: float
    kendall: float
    kendall_low: float
    kendall_high: float
    spearman: float
    ndcg10: float
    precision: float


def agreements(
    benchmark: Benchmark,
    columns: Mapping[str, NDArray[np.float64]],
    *,
    against: str = "test",
    sizes: NDArray[np.float64] | None = None,
    within_groups: bool = True,
    resamples: int = 100,
    seed: int = 0,
) -> list[Agreement]:
    """Every score against a benchmark, over all architectures and, if asked, within the groups of `groups_of`.

    `columns` are scores (rows,) in the benchmark's order, NaN where there is none (such rows are left out of that
    score's figures, failed trainings rank last). `against` is ``"test"`` (validation where no test is recorded) or
    ``"validation"``. The bootstrap resamples rows; above 500 it takes 500 out of n and rescales.
    """
    if against not in ("test", "validation"):
        raise ValueError(f"against must be 'test' or 'validation', not {against!r}")
    use_test = against == "test" and benchmark.test is not None
    values = benchmark.test if use_test and benchmark.test is not None else benchmark.validation
    truth = values if benchmark.metric.maximize else -values
    groups = groups_of(benchmark, sizes) if within_groups else {"all": np.ones(len(truth), dtype=bool)}
    found: list[Agreement] = []
    for name, column in columns.items():
        for group, mask in groups.items():
            rows = np.flatnonzero(mask & np.isfinite(column))
            if len(rows) < 10:
                continue
            rng = np.random.default_rng([seed, len(found)])
            found.append(
                _agreement(
                    benchmark.name,
                    name,
                    group,
                    "test" if use_test else "validation",
                    column[rows],
                    truth[rows],
                    len(rows) / mask.sum(),
                    resamples,
                    rng,
                )
            )
    return found


def _agreement(
    benchmark: str,
    score: str,
    group: str,
    against: str,
    column: NDArray[np.float64],
    truth: NDArray[np.float64],
    coverage: float,
    resamples: int,
    rng: np.random.Generator,
) -> Agreement:
    tau = ranking.kendall(column, truth)
    low, high = _interval(column, truth, tau, resamples, rng)
    return Agreement(
        benchmark,
        score,
        group,
        against,
        len(column),
        float(coverage),
        tau,
        low,
        high,
        ranking.spearman(column, truth),
        ranking.ndcg_at(column, truth, 10),
        ranking.precision_at(column, truth, 5),
    )


def _interval(
    column: NDArray[np.float64], truth: NDArray[np.float64], tau: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Normal bootstrap interval of τ, standard error from m out of n rows, scaled by sqrt(m / n)."""
    n = len(column)
    m = min(n, _LARGEST_RESAMPLE)
    draws = [rng.integers(n, size=m) for _ in range(resamples)]
    error = float(np.std([ranking.kendall(column[d], truth[d]) for d in draws], ddof=1)) * np.sqrt(m / n)
    return max(-1.0, tau - 1.96 * error), min(1.0, tau + 1.96 * error)


def correlate_published(
    patterns: Sequence[str], *, against: str = "test", within_groups: bool = True
) -> tuple[list[Agreement], list[str]]:
    """Published scores of every benchmark that matches, and of those whose data are not here how to get them.

    Raises `UnknownNameError` for a pattern that no benchmark with published scores matches.
    """
    names = scores.names()
    chosen = [n for n in names if any(fnmatchcase(n, pattern) for pattern in patterns)]
    for pattern in patterns:
        if not any(fnmatchcase(n, pattern) for n in names):
            raise UnknownNameError("benchmark with published scores", pattern, names)
    found: list[Agreement] = []
    missing: list[str] = []
    for name in chosen:
        try:
            benchmark, table = benchmarks.get(name), scores.load(name)
        except MissingDataError as error:
            missing.append(str(error))
            continue
        sizes = table.column("params") if "params" in table.names else None
        columns = {score: table.column(score) for score in table.names}
        found += agreements(benchmark, columns, against=against, sizes=sizes, within_groups=within_groups)
    return found, missing


def as_table(found: list[Agreement]) -> pa.Table:
    """The figures as one tidy table."""
    rows: list[dict[str, Any]] = [asdict(agreement) for agreement in found]
    return pa.Table.from_pylist(rows)
