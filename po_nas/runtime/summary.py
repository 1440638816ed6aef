"""What is written when a run ends: its result, and what its method has learned."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from po_nas.core.objective import Objective
from po_nas.core.searcher import Searcher
from po_nas.runtime.callbacks import RunInfo
from po_nas.runtime.config import SearchConfig
from po_nas.runtime.front import front_measure_of, front_trials
from po_nas.runtime.loop import Loop, regret
from po_nas.runtime.run_directory import Result, RunDirectory
from po_nas.runtime.trusted_plugins import formulas
from po_nas.spaces.base import Architecture
from po_nas.switches import default_switches

__all__ = ["finish", "info_of", "plain", "protocol_of", "result_of", "write_start"]

_log = logging.getLogger(__name__)


def write_start(
    directory: RunDirectory,
    config: SearchConfig,
    objective: Objective,
    searcher: Searcher,
    by: str,
    given: Mapping[str, bool],
) -> None:
    """Write ``config.yaml`` of a run that begins.

    `by` is the function that resumes it in Python. `given` says of the arguments of that function which ones were
    given now, and therefore must be given then.
    """
    fidelities = searcher.domain.fidelities if searcher.uses_fidelities(searcher.options) else None
    optima = {"validation": objective.optimum_validation, "test": objective.optimum_test}
    directory.write_config(
        config,
        plain(protocol_of(objective)),
        plain({name: None if found is None else found[0] for name, found in optima.items()}),
        plain(front_measure_of(objective).to_json()),
        None if fidelities is None else plain(fidelities.to_json()),
        {
            "by": by,
            "arguments": [name for name, needed in given.items() if needed],
            **({"formulas": kept} if (kept := formulas(config.plugins)) else {}),
        },
    )


def info_of(config: SearchConfig, path: Path, objective: Objective) -> RunInfo:
    """What callbacks are told when a run starts."""
    optimum = objective.optimum_validation
    return RunInfo(
        path,
        config.model_dump(mode="json"),
        protocol_of(objective),
        objective.metric,
        config.budget.max_evaluations,
        None if optimum is None else optimum[0],
    )


def finish(config: SearchConfig, directory: RunDirectory, loop: Loop, reason: str) -> Result:
    """Write the result of a run that is over, and what its method has learned; callbacks are told."""
    tests = _tests(loop)
    result = result_of(config, directory.path, loop, reason, tests)
    if result.evaluations and result.failed == result.evaluations:
        _log.warning("every evaluation of %s failed; po-nas status says why", directory.path)
    known = {place: value for place, value in enumerate(tests, 1) if value is not None}
    if known:
        directory.write_report_values(known)
    directory.write_summary(plain(result.to_dict()))
    _write_explanation(loop.searcher, directory)
    loop.notify("on_end", result.to_dict())
    return result


def _write_explanation(searcher: Searcher, directory: RunDirectory) -> None:
    try:
        with default_switches():
            found = searcher.explain()
        if found is not None:
            directory.write_explanation(plain(found))
    except Exception:
        # The search is over and on disk; an explanation that fails must not take it away.
        _log.exception("%s cannot say what it has learned", type(searcher).__name__)


def _test_of(objective: Objective, architecture: Architecture) -> float | None:
    """The report metric of an architecture, None where the objective has none."""
    try:
        value = objective.report(architecture).get("test")
        return None if value is None or not math.isfinite(value) else float(value)
    except Exception:
        # The search is over and on disk; a report that fails must not take it away.
        _log.exception("%s: no report metric for %s", objective.name, architecture)
        return None


def _tests(loop: Loop) -> list[float | None]:
    """The report metric of each evaluation in the order of completion, None where there is none.

    Evaluations at lower fidelities have none. It is the objective's, or else the metric ``test`` that the evaluation
    itself has told.
    """
    found = []
    for trial, outcome in loop.told:
        told = outcome.failure is None and trial.fidelity is None
        value = _test_of(loop.objective, trial.architecture) if told else None
        found.append(outcome.metrics.get("test") if told and value is None else value)
    return found


def result_of(
    config: SearchConfig, path: Path, loop: Loop, reason: str, tests: Sequence[float | None] | None = None
) -> Result:
    """What a run has found so far, with the report metric, which the search never saw.

    Args:
        config: Of the run.
        path: Its directory.
        loop: Its loop.
        reason: Why it has ended.
        tests: The report metric of each evaluation, where it has been asked for already.
    """
    objective, ledger = loop.objective, loop.ledger
    progress = loop.progress()
    tests = _tests(loop) if tests is None else tests
    evaluations = {trial.number: place for place, (trial, _) in enumerate(loop.told, 1)}
    known = [t for t in tests if t is not None]
    best = max if objective.metric.maximize else min
    incumbent = loop.incumbent
    test = None if incumbent is None else tests[evaluations[incumbent[0].number] - 1]
    optimum, optimum_test = objective.optimum_validation, objective.optimum_test
    protocol = protocol_of(objective)
    regret_test = None
    if test is not None and optimum_test is not None:
        regret_test = optimum_test[0] - test if objective.metric.maximize else test - optimum_test[0]
    goals, front_measure = objective.goals, loop.front_measure
    front: list[dict[str, Any]] = []
    volume = reference = None
    if goals.several:
        trials, losses = front_trials(loop.told, goals)
        front = [
            {
                "evaluation": evaluations[trial.number],
                "architecture": objective.space.to_string(trial.architecture),
                "objectives": {name: outcome.metrics[name] for name in goals.names},
                "test": tests[evaluations[trial.number] - 1],
            }
            for trial, outcome in trials
        ]
        volume = front_measure.hypervolume(losses)
        reference = front_measure.by_name(front_measure.reference_of(losses)) if len(losses) else None
    return Result(
        benchmark=config.benchmark,
        method=config.method.name,
        seed=config.seed,
        feedback=protocol.get("feedback_name", config.feedback),
        evaluations=ledger.told,
        failed=ledger.failed,
        incumbent=progress.incumbent,
        validation=progress.incumbent_validation,
        test=test,
        optimum_validation=None if optimum is None else float(optimum[0]),
        optimum_test=None if optimum_test is None else float(optimum_test[0]),
        test_of_optimum_validation=None if optimum is None else _test_of(objective, optimum[1]),
        best_test_queried=best(known) if known else None,
        regret_validation=regret(objective, progress.incumbent_validation),
        regret_test=regret_test,
        cost_s=ledger.cost_s,
        clock_s=loop.executor.clock_s,
        wall_s=progress.elapsed_s,
        overhead_s=progress.overhead_s,
        ended=reason,
        directory=str(path),
        scores_computed=loop.scored.computed,
        scores_kept=loop.scored.kept,
        scoring_s=loop.scored.seconds,
        infeasible=sum(
            t.fidelity is None and o.failure is None and not goals.feasible(o.metrics) for t, o in loop.told
        ),
        front=front,
        hypervolume=volume,
        hypervolume_true=front_measure.true_volume,
        reference_point=reference,
        full_evaluations=round(ledger.told_full, 9),
        at_full_fidelity=ledger.full,
    )


def protocol_of(objective: Objective) -> dict[str, Any]:
    """The objective's protocol; metric, unit and direction are its metric's, whatever the protocol says."""
    metric = objective.metric
    return {"space": objective.space.name, **objective.protocol()} | {
        "metric": metric.name,
        "unit": metric.unit,
        "direction": "maximize" if metric.maximize else "minimize",
    }


def plain(value: Any) -> Any:
    """`value` with numpy scalars and tuples turned into what YAML and JSON know."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value
