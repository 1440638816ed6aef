"""Incumbent curves of many searches, in memory, for comparisons at equal evaluation counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas import benchmarks
from po_nas.benchmarks.base import Benchmark
from po_nas.core.settings import validated
from po_nas.runtime.api import make_searcher
from po_nas.runtime.config import SearchConfig

__all__ = ["Curve", "run_curve"]


@dataclass(frozen=True)
class Curve:
    """One search: the simple regret (validation) of the incumbent after each evaluation, and its test value.

    `regret` (budget,) in the metric's unit; `test` (budget,) the report metric of the incumbent, NaN where unknown;
    `overhead_s` the summed seconds of asking and telling.
    """

    benchmark: str
    method: str
    seed: int
    regret: NDArray[np.float64]
    test: NDArray[np.float64]
    overhead_s: float


def run_curve(benchmark: str, method: Mapping[str, Any], budget: int, seed: int, label: str | None = None) -> Curve:
    """Run one search without a run directory; the trials are those of ``po-nas search`` with the same settings."""
    objective = _benchmark(benchmark)
    config = validated(
        SearchConfig,
        {"benchmark": benchmark, "method": dict(method), "budget": {"max_evaluations": budget}, "seed": seed},
    )
    searcher = make_searcher(config, objective)
    optimum = objective.optimum_validation[0]
    sign = 1.0 if objective.metric.maximize else -1.0
    best, best_test, overhead = -np.inf, np.nan, 0.0
    regret, test = np.full(budget, np.nan), np.full(budget, np.nan)
    for step in range(budget):
        started = time.perf_counter()
        (trial,) = searcher.ask()
        overhead += time.perf_counter() - started
        outcome = objective.evaluate(trial.architecture, seed=trial.seed)
        started = time.perf_counter()
        searcher.tell(trial.number, outcome)
        overhead += time.perf_counter() - started
        if searcher.score(outcome) > best:
            best = searcher.score(outcome)
            found = objective.report(trial.architecture).get("test")
            best_test = np.nan if found is None else found
        regret[step], test[step] = sign * optimum - best, best_test
    return Curve(benchmark, label or str(method["name"]), seed, regret, test, overhead)


@cache
def _benchmark(name: str) -> Benchmark:
    return benchmarks.get(name)
