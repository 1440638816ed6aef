"""What a comparison allows to say: paired tests, mean ranks with a critical difference, wins and losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from po_nas.compare.results import Study
from po_nas.compare.statistics import LEVEL, holm, paired_p, signed_rank

__all__ = [
    "FEWEST",
    "Paired",
    "Ranking",
    "half_tests",
    "least_p",
    "paired_tests",
    "rank_methods",
    "repeated",
    "to_match",
    "too_few",
    "twins",
    "wins",
]

FEWEST = 5
"""Seeds below which nothing is tested. (Of 5 pairs, not even 5 wins are significant at 5 %: p = 0.0625.)"""
_TASKS = 5
"""Benchmarks from which on each counts as one block of the ranking; with fewer, every benchmark and seed does."""


@dataclass(frozen=True, slots=True)
class Paired:
    """`rival` against the study's reference on one benchmark after `at` evaluations, over `n` common seeds.

    `gain` is the mean by which the reference is better, in the measure's unit (negative: worse); `ranks` the signed
    rank sum, positive where the reference is better by the test; `p` Wilcoxon's signed-rank p-value, `adjusted` Holm's
    over the whole family.
    """

    benchmark: str
    at: int
    rival: str
    n: int
    gain: float
    ranks: float
    p: float
    adjusted: float

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` (the reference, at 5 %, by the signed ranks that are tested), or nothing."""
        if self.adjusted >= LEVEL:
            return ""
        return "better" if self.ranks > 0 else "worse"


@dataclass(frozen=True)
class Ranking:
    """Mean ranks (1 = best) over blocks; Friedman's p-value, and Nemenyi's critical difference at 5 %.

    `per_task` says whether a block is a benchmark (mean over seeds) or a benchmark and seed; `left_out` which
    benchmarks do not count, and why.
    """

    methods: tuple[str, ...]
    ranks: tuple[float, ...]
    blocks: int
    per_task: bool
    friedman_p: float
    critical_difference: float
    left_out: Mapping[str, str] = field(default_factory=dict)

    def alike(self) -> list[tuple[int, int]]:
        """Largest runs (first, last) of methods, ordered by rank, that differ by less than the critical difference."""
        ordered = sorted(self.ranks)
        found: list[tuple[int, int]] = []
        for first in range(len(ordered)):
            last = max(j for j in range(first, len(ordered)) if ordered[j] - ordered[first] < self.critical_difference)
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def too_few(study: Study) -> bool:
    """Whether there are too few seeds for any test."""
    counts = [len(study.seeds(b, m)) for b in study.benchmarks for m in study.methods]
    return max(counts, default=0) < FEWEST


def paired_tests(study: Study, measure: str) -> list[Paired]:
    """Every rival against the reference, on every benchmark, at every reported budget: one family.

    Pairs of fewer than `FEWEST` common seeds are left out, and so are measures that are not known.
    """
    return _family(study, measure, [(at, at) for at in study.reported])


def half_tests(study: Study) -> list[Paired]:
    """Every rival after half of the budget against the reference after all of it; `at` is the half."""
    return _family(study, study.criterion, [(study.budget, study.budget // 2)]) if study.budget > 1 else []


def _family(study: Study, measure: str, ats: Sequence[tuple[int, int]]) -> list[Paired]:
    """Tests of the reference after so many evaluations against every rival after so many, as one family.

    What is the same on one of `twins` is tested once.
    """
    baseline = study.baseline
    if baseline is None:
        return []
    found = []
    again = twins(study)
    for benchmark in study.benchmarks:
        sign = study.sign(benchmark, measure)
        for own, at in ats:
            ours = study.values(measure, benchmark, baseline, own)
            for rival in study.methods:
                theirs = study.values(measure, benchmark, rival, at)
                common = sorted(ours.keys() & theirs.keys())
                if rival == baseline or len(common) < FEWEST:
                    continue
                twin = again.get(benchmark)
                if twin and (ours, theirs) == (
                    study.values(measure, twin, baseline, own),
                    study.values(measure, twin, rival, at),
                ):
                    continue
                first, second = (np.array([values[seed] for seed in common]) for values in (ours, theirs))
                gain = float(np.mean(sign * (first - second)))
                ranks = sign * signed_rank(first, second)
                found.append((benchmark, at, rival, len(common), gain, ranks, paired_p(first, second)))
    adjusted = holm([row[6] for row in found])
    return [Paired(*row, p) for row, p in zip(found, adjusted, strict=True)]


def to_match(study: Study, benchmark: str, method: str) -> float:
    """Evaluations after which the mean of a method is that of the reference at the end or better.

    Means are over the seeds for which both have found something; infinite when it never is, NaN without such seeds.
    """
    baseline = study.baseline
    if baseline is None:
        return math.nan
    ends = [study.values(study.criterion, benchmark, name, study.budget) for name in (baseline, method)]
    common = sorted(ends[0].keys() & ends[1].keys())
    if not common:
        return math.nan
    rows = [seed in common for seed in study.seeds(benchmark, method)]
    curve = study.curves(study.criterion, benchmark, method)[rows].mean(axis=0)
    wanted = float(np.mean([ends[0][seed] for seed in common]))
    hit = study.sign(benchmark, study.criterion) * (curve - wanted) >= -1e-9
    return 1.0 + float(hit.argmax()) if hit.any() else math.inf


def least_p(tests: Sequence[Paired]) -> float:
    """The smallest adjusted p-value that so many tests on so few pairs can have; 1 without any test."""
    return min(1.0, len(tests) * 2.0 ** (1 - max((t.n for t in tests), default=0))) if tests else 1.0


def twins(study: Study) -> dict[str, str]:
    """Benchmarks that feed back the same values as an earlier one, by name; their searches are no further evidence."""
    first: dict[str, str] = {}
    found = {}
    for benchmark in study.benchmarks:
        signal = study.record["benchmarks"][benchmark].get("signal") or benchmark
        if first.setdefault(signal, benchmark) != benchmark:
            found[benchmark] = first[signal]
    return found


def repeated(study: Study) -> dict[str, str]:
    """Why each of `twins` does not count in ranks and wins, by name."""
    return {twin: f"feeds back what {first} does" for twin, first in twins(study).items()}


def _blocks(study: Study, at: int) -> dict[str, NDArray[np.float64]]:
    """The `_block` of every benchmark that is no twin of another."""
    again = twins(study)
    return {name: _block(study, name, at) for name in study.benchmarks if name not in again}


def _block(study: Study, benchmark: str, at: int) -> NDArray[np.float64]:
    """(seeds, methods) values of the seeds that all methods have, by the criterion of the study, higher is better."""
    values = [study.values(study.criterion, benchmark, method, at) for method in study.methods]
    common = sorted(set.intersection(*(set(v) for v in values)))
    found = np.array([[v[seed] for v in values] for seed in common]).reshape(-1, len(values))
    # Values that differ by rounding are equal: one architecture reached by two ways of summing.
    return np.round(study.sign(benchmark, study.criterion) * found, 9)


def rank_methods(study: Study, at: int) -> Ranking | None:
    """Rank the methods by the criterion of the study after `at` evaluations (Demšar, JMLR 2006).

    `twins`, and benchmarks on which the methods have fewer than `FEWEST` common seeds, do not count. None for fewer
    than three methods or two blocks.
    """
    blocks = _blocks(study, at)
    few = {name: f"fewer than {FEWEST} common seeds" for name, block in blocks.items() if len(block) < FEWEST}
    counted = [block for name, block in blocks.items() if name not in few]
    per_task = len(counted) >= _TASKS
    rows = [block.mean(axis=0, keepdims=True) if per_task else block for block in counted]
    k, n = len(study.methods), sum(map(len, rows))
    if k < 3 or n < 2:
        return None
    values = np.concatenate(rows)
    ranks = rankdata(-values, axis=1)
    means = ranks.mean(axis=0)
    equal = bool((ranks == ranks[:, :1]).all())
    p = 1.0 if equal else float(friedmanchisquare(*values.T).pvalue)
    q = float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / math.sqrt(2)
    difference = q * math.sqrt(k * (k + 1) / (6 * n))
    left_out = repeated(study) | few
    return Ranking(tuple(study.methods), tuple(float(r) for r in means), n, per_task, p, difference, left_out)


def wins(study: Study, at: int) -> tuple[NDArray[np.int64], int]:
    """(methods, methods) counts of how often the row is better than the column, and the number of blocks.

    A block is a benchmark (but no twin of another) and seed that all methods have finished; what neither wins is a tie.
    """
    values = np.concatenate([*_blocks(study, at).values(), np.empty((0, len(study.methods)))])
    better = values[:, :, None] > values[:, None, :]
    return better.sum(axis=0).astype(np.int64), len(values)
