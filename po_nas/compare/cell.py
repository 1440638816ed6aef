"""Running one cell of a comparison, in memory, and turning its events into rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from po_nas import benchmarks
from po_nas.compare.design import Cell
from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import Goals
from po_nas.core.objective import Objective
from po_nas.core.searcher import SharedCache
from po_nas.runtime.budget import Ledger
from po_nas.runtime.config import ProxiesConfig, SearchConfig
from po_nas.runtime.journal import Event, EventList
from po_nas.runtime.loop import Loop
from po_nas.runtime.setup import make_executor, make_searcher, set_up_scoring, with_computed, with_configured_goals

__all__ = ["SHARED", "event_rows", "for_the_reader", "load_objective", "objective_of", "run_cell"]

SHARED = SharedCache()
"""What all searches of this process share: those on one benchmark follow each other."""

Row = dict[str, Any]


@lru_cache(maxsize=2)
def load_objective(name: str, feedback: str | None, proxies: ProxiesConfig) -> Objective:
    """A benchmark with the proxies that are computed for it, kept by this process: cells of one follow each other."""
    return with_computed(benchmarks.looked_up(name, feedback), proxies)


def objective_of(config: SearchConfig) -> Objective:
    """The benchmark of a search with its proxies, objectives and limits; that of the last call is kept."""
    given = load_objective(config.benchmark, config.feedback, config.proxies)
    if not config.objectives and not config.constraints:
        return given
    key = config.model_dump_json(exclude={"method", "seed", "budget", "batch", "executor", "tracking"})
    if key not in _WITH_GOALS or _WITH_GOALS[key][0] is not given:
        _WITH_GOALS.clear()
        _WITH_GOALS[key] = (given, with_configured_goals(given, config))
    return _WITH_GOALS[key][1]


_WITH_GOALS: dict[str, tuple[Objective, Objective]] = {}
"""By what the goals were made of: the objective without and with them. Counting what keeps a limit takes a while."""


def run_cell(cell: Cell) -> list[Row]:
    """Run the search as ``po-nas search`` would with the same settings: one row per evaluation, as completed.

    Raises whatever the method raises; a failing objective is a failed evaluation.
    """
    config = cell.search
    objective = objective_of(config)
    journal = EventList()
    executor = make_executor(config, objective)
    set_up_scoring(config, objective, executor)
    searcher = make_searcher(config, objective, cache=SHARED)
    loop = Loop(objective, searcher, executor, Ledger(config.budget), journal)
    try:
        loop.run()
    finally:
        executor.close()
    rows = event_rows(journal.events, objective, objective.goals, searcher.domain.fidelities)
    return [{"benchmark": config.benchmark, "method": cell.label, "seed": config.seed, **row} for row in rows]


def event_rows(events: Sequence[Event], objective: Objective | None, goals: Goals, fidelities: Fidelities) -> list[Row]:
    """The finished evaluations of a journal in the order of completion, with what only the reader may know.

    `objective` tells test values and ranks; without one they are NaN. `overhead_s` is the method's time to propose the
    trial in real seconds; `clock_s` is the executor's clock at completion. With several objectives `losses` has them,
    lower = better, and `violation` says how far the metrics are beyond the limits of `goals`. `fidelity` is None for a
    full evaluation, of which others are shares in `spent`; only full ones have a test value and a rank.
    """
    asks = [event for event in events if event["event"] == "ask"]
    costs = fidelities.shares((ask["architecture"], ask.get("fidelity")) for ask in asks)
    asked = {ask["number"]: (ask, *cost) for ask, cost in zip(asks, costs, strict=True)}
    rows: list[Row] = []
    spent = 0.0
    for event in events:
        if event["event"] in {"tell", "fail"}:
            ask, fidelity, share = asked[event["number"]]
            spent += share
            metrics = event.get("metrics", {})
            validation = metrics.get("validation", math.nan)
            rows.append(
                {
                    "evaluation": len(rows) + 1,
                    "architecture": ask["architecture"],
                    "validation": float(validation),
                    **for_the_reader(objective if fidelity is None else None, ask["architecture"], float(validation)),
                    "cost_s": float(event["cost_s"]),
                    "overhead_s": float(ask.get("ask_s", 0.0)),
                    "clock_s": float(event.get("clock_s", math.nan)),
                    "violation": float(goals.violations([metrics])[0]) if metrics and goals.limits else 0.0,
                    "losses": goals.losses([metrics])[0].tolist() if metrics and goals.several else None,
                    "fidelity": fidelity,
                    "spent": spent,
                }
            )
    return rows


def for_the_reader(objective: Objective | None, architecture: str, validation: float) -> Mapping[str, float]:
    """Test value and rank by validation of an evaluation; NaN where they are not known."""
    if objective is None:
        return {"test": math.nan, "rank": math.nan}
    found = objective.report(objective.space.from_string(architecture)).get("test")
    return {"test": math.nan if found is None else float(found), "rank": _rank(objective, validation)}


def _rank(objective: Objective, validation: float) -> float:
    """1 + the number of rows within the limits with a better search signal; NaN where there is no such table."""
    column, table, limits = objective.validation, objective.recorded, objective.goals.limits
    if column is None or math.isnan(validation):
        return math.nan
    better = column > validation if objective.metric.maximize else column < validation
    if limits:
        if table is None or any(limit.metric.name not in table.columns for limit in limits):
            return math.nan
        for limit in limits:
            better = better & (limit.violation(table.columns[limit.metric.name]) == 0.0)
    return 1.0 + float(np.count_nonzero(better))
