"""A run on a terminal: its result beside the optimum, and its status."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from po_nas.reports.front import hypervolume_text
from po_nas.reports.run import RunData, evaluations_text
from po_nas.runtime.escaping import terminal_text
from po_nas.runtime.run_directory import running
from po_nas.runtime.scoring import Scored

if TYPE_CHECKING:
    from po_nas.runtime.api import Result

__all__ = ["print_result", "print_status"]

_REASONS = 3
"""Reasons of failures that are printed."""


def _number(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:.4f} {unit}".rstrip()


def print_result(result: Result, run: RunData) -> None:
    """Print the incumbent beside the optimum of the task, where there is one on record."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    label = run.report_label
    for title in ("", "validation", label):
        table.add_column(title, justify="left" if not title else "right")
    table.add_row("incumbent", _number(result.validation), _number(result.test))
    if result.optimum_validation is not None or result.optimum_test is not None:
        table.add_row(
            "best by validation in the table",
            _number(result.optimum_validation),
            _number(result.test_of_optimum_validation),
        )
        table.add_row(f"best by {label} in the table", "", _number(result.optimum_test))
        table.add_row("regret", _number(result.regret_validation), _number(result.regret_test))
    console = Console(highlight=False)
    console.print()
    none = "no evaluation keeps the limits" if result.infeasible else "no evaluation succeeded"
    if result.at_full_fidelity == 0 and result.evaluations:
        none = "no architecture came to a full evaluation"
    console.print(Text(terminal_text(result.incumbent or none), style="bold"), soft_wrap=True)
    console.print(table)
    _print_front(console, run)
    if "report" in run.protocol:
        _say(console, f"{label}: {run.protocol['report']}")
    elif result.test is not None:
        _say(console, f"{label}: told by the evaluations")
    if run.scored.computed + run.scored.kept:
        _say(console, _scoring(run.scored))
    cost = f"{result.cost_s:,.0f} s of recorded cost" if result.cost_s else "no recorded cost"
    _say(
        console,
        f"{_counted(run, result.evaluations)} ({result.failed} failed) in {result.wall_s:.1f} s, "
        f"{result.overhead_s:.1f} s of it outside evaluations; {cost}; {result.ended}",
    )
    _say_failures(console, run)


def print_status(run: RunData) -> None:
    """Print how far a run is."""
    told, best = run.told, run.incumbent()
    console = Console(highlight=False)
    _say(console, f"{run.config['method']['name']} on {run.config['benchmark']}, seed {run.config['seed']}")
    failed = sum(t.reason is not None for t in told)
    pending = sum(not t.finished for t in run.trials)
    _say(console, f"{_counted(run, len(told), limit=True)}, {failed} failed, {pending} pending")
    if run.fidelities:
        _say(console, _by_fidelity(run))
    if run.scored.computed + run.scored.kept:
        _say(console, _scoring(run.scored))
    elif not run.trials and run.ended is None and run.config["proxies"]["compute"]:
        _say(console, "no trial yet: first the proxy scores of the candidates are computed")
    if best is not None:
        regret = run.regret(best.validation)
        _say(
            console,
            f"best {_number(best.validation, run.unit)} in evaluation {best.evaluation}"
            + ("" if best.test is None else f", {run.report_label} {_number(best.test, run.unit)}")
            + ("" if regret is None else f", regret {_number(regret, run.unit)}"),
        )
        _say(console, best.architecture)
    _print_front(console, run)
    _say_failures(console, run)
    if run.ended:
        _say(console, f"ended: {run.ended}")
    elif (holder := running(run.directory)) is not None:
        _say(console, f"running: {holder}; if it stops, go on with: {run.way_on}")
    else:
        _say(console, f"not finished; go on with: {run.way_on}")


def _print_front(console: Console, run: RunData) -> None:
    """Print limits that were broken, the front and its hypervolume, where there are objectives and limits."""
    broken = sum(not trial.feasible for trial in run.told)
    if broken:
        limits = " and ".join(limit.text for limit in run.front_measure.goals.measured_limits)
        _say(console, f"{broken} evaluations break a limit: {limits}")
    front, goals = run.front(), run.front_measure.goals
    if not front:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("front", "evaluation", *(f"{m.label}, {'max' if m.maximize else 'min'}" for m in goals.objectives)):
        table.add_column(terminal_text(title), justify="right")
    for index, trial in enumerate(front, 1):
        values = [f"{trial.metrics[name]:.5g}" for name in goals.names]
        table.add_row(str(index), str(trial.evaluation), *values)
    console.print(table)
    _say(console, hypervolume_text(run))
    _say(console, f"one of them as a file: po-nas export {run.directory} --index N, or --prefer {goals.names[1]}")


def _counted(run: RunData, evaluations: int, *, limit: bool = False) -> str:
    """How many evaluations there were; in full ones too, where fidelities are used."""
    most = f"/{run.config['budget'].get('max_evaluations') or '?'}" if limit else ""
    if not run.fidelities:
        return f"{evaluations}{most} evaluations"
    return f"{evaluations} evaluations that count as {run.full_evaluations:.4g}{most} full ones"


def _by_fidelity(run: RunData) -> str:
    """Evaluations at each fidelity."""
    counts = Counter(trial.fidelity for trial in run.told)
    *lower, _ = run.fidelities.values
    return ", ".join(f"{counts[v]} at {run.fidelities.text(v)}" for v in (*lower, None) if counts[v]) or "none yet"


def _say_failures(console: Console, run: RunData) -> None:
    """Say why evaluations failed, and where their tracebacks are."""
    reasons = list(run.failures().items())
    for reason, evaluations in reasons[:_REASONS]:
        count = len(evaluations)
        _say(
            console, f"failed {'once' if count == 1 else f'{count} times'}: {reason} ({evaluations_text(evaluations)})"
        )
        if (path := run.traceback(evaluations)) is not None:
            _say(console, f"    traceback: {path}")
    rest = sum(len(evaluations) for _, evaluations in reasons[_REASONS:])
    if rest:
        _say(console, f"failed {rest} times for other reasons")


def _scoring(scored: Scored) -> str:
    return f"{scored.computed:,} proxy scores computed, {scored.kept:,} from disk, in {scored.seconds:.1f} s"


def _say(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(terminal_text(line), markup=False, soft_wrap=True)
