"""Comparisons made by hand, whose numbers can be checked on paper."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa

from po_nas.compare.results import Study
from po_nas.compare.store import COLUMNS, write_table


def toy_study(
    folder: Path,
    validations: dict[tuple[str, str, int], list[float]],
    *,
    direction: str = "maximize",
    optimum: float | None = 10.0,
    **config,
) -> Study:
    """A study of these searches: test is half of validation, an evaluation costs 2 s and 0.5 s of overhead."""
    benchmarks, methods, seeds = ([*dict.fromkeys(column)] for column in zip(*validations, strict=True))
    rows = [
        {
            **dict(zip(("benchmark", "method", "seed"), key, strict=True)),
            "evaluation": step, "architecture": f"a{value:g}", "validation": value, "test": value / 2,
            "cost_s": 2.0, "overhead_s": 0.5, "clock_s": 2.0 * step, "rank": 11.0 - value,
        }
        for key, values in validations.items()
        for step, value in enumerate(values, 1)
    ]  # fmt: skip
    protocol = {
        "space": "unknown", "feedback_name": "full", "metric": "accuracy", "unit": "%", "direction": direction,
        "optimum_validation": optimum, "optimum_test": 5.0, "test_of_optimum_validation": 5.0,
    }  # fmt: skip
    record = {
        "config": {
            "name": "toy", "methods": {m: {"name": m} for m in methods}, "seeds": sorted(seeds),
            "budget": max(map(len, validations.values())), "at": [], "reference": "", "batch": 1, "feedback": None,
            "executor": {"name": "inline"}, "notes": "", "published": [],
        }
        | config,
        "options": {m: {} for m in methods},
        "benchmarks": dict.fromkeys(benchmarks, protocol),
        "missing": {}, "versions": {"po-nas": "0"}, "failed": [],
        "finished": len(validations), "searches": len(validations),
    }  # fmt: skip
    write_table(folder / "results.parquet", pa.Table.from_pylist(rows, schema=COLUMNS), record)
    return Study.load(folder)


NAN = math.nan
