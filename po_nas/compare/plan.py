"""What a comparison will do, checked as a whole before anything is spent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.compare.cell import objective_of
from po_nas.compare.design import Cell, ComparisonConfig
from po_nas.core.goals import SIGNAL
from po_nas.core.objective import Objective
from po_nas.errors import BudgetError, MissingDataError, PoNasError
from po_nas.runtime.front import front_measure_of
from po_nas.runtime.run_directory import versions
from po_nas.runtime.setup import make_searcher
from po_nas.runtime.summary import plain, protocol_of

__all__ = ["Plan", "make_plan", "optima"]

_VERSIONS = ("po-nas", "torch", "gpytorch", "botorch", "numpy", "scipy", "pyarrow")


@dataclass(frozen=True)
class Plan:
    """The cells to run in the order of the results, benchmarks left out and why, and what to keep on record.

    `remarks` say which benchmarks are left out, or have no test values, and why.
    """

    config: ComparisonConfig
    cells: tuple[Cell, ...]
    benchmarks: tuple[str, ...]
    missing: Mapping[str, str]
    record: Mapping[str, Any]
    remarks: tuple[str, ...] = ()


def make_plan(config: ComparisonConfig) -> Plan:
    """Load every benchmark once and make every method for it; nothing is evaluated.

    A benchmark without its public data is left out; `MissingDataError` when that leaves none. A budget that is larger
    than a benchmark raises `BudgetError`. A method that refuses every benchmark raises its own error; one that refuses
    some is recorded as failed there when its turn comes.
    """
    config.check()
    missing: dict[str, str] = {}
    remarks: list[str] = []
    first_missing: MissingDataError | None = None
    protocols: dict[str, Mapping[str, Any]] = {}
    refusals: dict[str, list[PoNasError]] = {label: [] for label in config.methods}
    for name in config.names():
        try:
            objective = objective_of(config.search(name, next(iter(config.methods)), config.seeds[0]))
        except MissingDataError as error:
            missing[name] = str(error)
            remarks.append(f"left out: {error}")
            first_missing = first_missing or error
            continue
        if objective.distinct is not None and config.budget > objective.distinct:
            raise BudgetError(
                "budget", config.budget, f"{name} has {objective.distinct} to evaluate; lower it or leave {name} out"
            )
        for label in config.methods:
            try:
                make_searcher(config.search(name, label, config.seeds[0]), objective)
            except PoNasError as error:
                refusals[label].append(error)
        protocols[name] = _described(objective)
        if objective.optimum_test is None:
            report = protocols[name].get("report", "unknown")
            remarks.append(f"{name} is compared by validation alone; its test values: {report}")
    if first_missing is not None and not protocols:
        raise first_missing
    for errors in refusals.values():
        if len(errors) == len(protocols):
            raise errors[0]
    cells = tuple(config.cells(list(protocols)))
    record = {
        "config": config.model_dump(mode="json"),
        "options": {cell.label: cell.options for cell in cells},
        "benchmarks": protocols,
        "missing": missing,
        "versions": versions(_VERSIONS),
    }
    return Plan(config, cells, tuple(protocols), missing, record, tuple(remarks))


def _described(objective: Objective) -> dict[str, Any]:
    """Protocol, optima and true front of a benchmark; metric, unit and direction are its metric's."""
    goals = plain(front_measure_of(objective).to_json())
    return protocol_of(objective) | optima(objective) | ({"goals": goals} if goals else {})


def optima(objective: Objective) -> dict[str, Any]:
    """The best there is, None where it is not known.

    `signal` is a hash of what is fed back of all architectures, and of what else is an objective or limited: some tasks
    differ in nothing but their test values.
    """
    optimum, optimum_test = objective.optimum_validation, objective.optimum_test
    ceiling = None if optimum is None else objective.report(optimum[1]).get("test")
    column = objective.validation
    return {
        "optimum_validation": None if optimum is None else float(optimum[0]),
        "optimum_test": None if optimum_test is None else float(optimum_test[0]),
        "test_of_optimum_validation": None if ceiling is None else float(ceiling),
        "signal": None if column is None else _signal(objective, column),
    }


def _signal(objective: Objective, column: NDArray[np.float64]) -> str:
    found, goals, table = hashlib.sha256(column.tobytes()), objective.goals, objective.recorded
    columns = {} if table is None else table.columns
    for name in goals.names:
        if name in columns and name != SIGNAL:
            found.update(name.encode() + columns[name].tobytes())
    for limit in goals.limits:
        if limit.metric.name in columns:
            # What is allowed counts: tasks whose networks differ a little in size may allow the same.
            found.update(limit.text.encode() + (limit.violation(columns[limit.metric.name]) == 0).tobytes())
    return found.hexdigest()
