"""Runs on a terminal while they go on."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from po_nas.core.fidelities import ROUNDING
from po_nas.errors import PoNasError
from po_nas.reports.live import LiveState, RunFollower
from po_nas.runtime.escaping import terminal_text

__all__ = ["render_runs", "watch"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_STATES = {"running": "green", "ended": "cyan", "stopped": "yellow"}
_WIDTH = 60
"""Most columns of a bar."""
_ROWS = 5
"""Evaluations that are listed of a run that is watched alone."""


def watch(follower: RunFollower, console: Console, interval_s: float = 1.0) -> None:
    """Show the runs until none of them is running.

    On a terminal the picture changes in place; elsewhere a line is printed for each run that has changed.

    Args:
        follower: Which runs.
        console: Where.
        interval_s: Seconds between two looks, above 0.
    """
    if not console.is_terminal:
        _print_lines(follower, console, interval_s)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            states = _states(follower)
            live.update(render_runs(states, console.width), refresh=True)
            if not _goes_on(states):
                return
            time.sleep(interval_s)


def _states(follower: RunFollower) -> list[LiveState | tuple[str, PoNasError]]:
    found: list[LiveState | tuple[str, PoNasError]] = []
    for run in follower.look():
        try:
            found.append(run.now())
        except PoNasError as error:
            found.append((run.name, error))
    return found


def _goes_on(states: Sequence[LiveState | tuple[str, PoNasError]]) -> bool:
    return any(isinstance(state, LiveState) and state.state == "running" for state in states)


def _print_lines(follower: RunFollower, console: Console, interval_s: float) -> None:
    said: dict[str, str] = {}
    while True:
        states = _states(follower)
        for state in states:
            name, key, line = _line(state)
            if said.get(name) != key:
                said[name] = key
                console.print(terminal_text(line), markup=False, highlight=False, soft_wrap=True)
        if not _goes_on(states):
            return
        time.sleep(interval_s)


def _line(state: LiveState | tuple[str, PoNasError]) -> tuple[str, str, str]:
    """The name of a run, what its line changes with, and the line."""
    if not isinstance(state, LiveState):
        return state[0], str(state[1]), f"{state[0]}  {state[1]}"
    run, best = state.run, state.run.incumbent()
    parts = [f"{state.name}  {state.state}", f"{_count(state)} evaluations"]
    if best is not None:
        parts.append(f"best {_value(best.validation)} {run.unit}".rstrip() + f" in {best.evaluation}")
    if run.failures():
        parts.append(f"{sum(map(len, run.failures().values()))} failed")
    if state.state != "running":
        parts.append(state.said)
    return state.name, "  ".join(parts), "  ".join([*parts[:2], f"{state.elapsed_s:.0f} s", *parts[2:]])


def render_runs(states: Sequence[LiveState | tuple[str, PoNasError]], width: int) -> RenderableType:
    """What a terminal of so many columns shows: one run in detail, or several in a table."""
    if not states:
        return Text("no run has begun")
    if len(states) == 1 and isinstance(states[0], LiveState):
        return _detail(states[0], width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("run", "state", "evaluations", "best", "at", "regret", "failed", "seconds", "left"):
        table.add_column(title, justify="left" if title in {"run", "state"} else "right", overflow="fold")
    for state in states:
        if not isinstance(state, LiveState):
            table.add_row(Text(terminal_text(state[0])), Text("damaged", style="red"), *[""] * 7)
            continue
        run, best = state.run, state.run.incumbent()
        regret = run.regret(None if best is None else best.validation)
        cells = (
            _count(state),
            "" if best is None else f"{_value(best.validation)} {run.unit}".rstrip(),
            "" if best is None else str(best.evaluation),
            "" if regret is None else f"{regret:.3g}",
            str(sum(map(len, run.failures().values())) or ""),
            f"{state.elapsed_s:.0f}",
            "" if state.eta_s is None else f"{state.eta_s:.0f}",
        )
        texts = (Text(terminal_text(cell)) for cell in cells)
        table.add_row(Text(terminal_text(state.name)), Text(state.state, style=_STATES[state.state]), *texts)
    errors = [Text(terminal_text(f"{s[0]}: {s[1]}"), style="red") for s in states if not isinstance(s, LiveState)]
    return Group(table, *errors)


def _detail(state: LiveState, width: int) -> RenderableType:
    run, best = state.run, state.run.incumbent()
    config = run.config
    head = Text(terminal_text(config["method"]["name"]), style="bold")
    head.append(terminal_text(f" on {config['benchmark']}, seed {config['seed']}"), style="not bold")
    limit = config["budget"].get("max_evaluations")
    times = [f"{_count(state)} evaluations", f"{state.elapsed_s:.0f} s"]
    if state.eta_s is not None:
        times.append(f"{state.eta_s:.0f} s left")
    failed = sum(map(len, run.failures().values()))
    if failed:
        times.append(f"{failed} failed")
    parts: list[RenderableType] = [head]
    if limit:
        columns = min(width, _WIDTH)
        done = min(columns, int(columns * run.full_evaluations / limit + ROUNDING))
        parts.append(Text("━" * done, style="green").append("━" * (columns - done), style="bright_black"))
    parts.append(Text("  ".join(times)))
    if best is not None:
        regret = run.regret(best.validation)
        said = f"best {_value(best.validation)} {run.unit}".rstrip() + f" in evaluation {best.evaluation}"
        parts.append(Text(terminal_text(said + ("" if regret is None else f", regret {regret:.3g}"))))
        parts.append(Text(terminal_text(best.architecture), style="dim"))
        parts.append(Text(_blocks(run.incumbents(), min(width, _WIDTH), run.maximize), style="blue"))
    parts.append(_last(state, width))
    for reason, evaluations in list(run.failures().items())[:3]:
        parts.append(Text(terminal_text(f"failed {len(evaluations)} times: {reason}"), style="red"))
    colour = _STATES[state.state]
    parts.append(Text(terminal_text(f"{state.state}: {state.said}"), style=colour))
    return Group(*parts)


def _last(state: LiveState, width: int) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    titles, rows = ("#", "validation", "seconds", "origin", "architecture"), []
    for trial in reversed(state.run.told[-_ROWS:]):
        value = "failed" if trial.validation is None else _value(trial.validation)
        seconds = "" if trial.seconds is None else f"{trial.seconds:,.1f}"
        cells = (str(trial.evaluation), value, seconds, trial.origin, trial.architecture)
        rows.append([terminal_text(cell) for cell in cells])
    # Rich would take from every column what the last one, whose text may be very long, has too much.
    *others, _ = zip(titles, *rows, strict=True)
    left = max(len(titles[-1]), width - sum(2 + max(map(len, column)) for column in others))
    for title in titles:
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=left if title == titles[-1] else None)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _count(state: LiveState) -> str:
    run, limit = state.run, state.run.config["budget"].get("max_evaluations")
    most = f"/{limit}" if limit else ""
    if not run.fidelities:
        return f"{len(run.told)}{most}"
    return f"{len(run.told)} (as {run.full_evaluations:.4g}{most} full)"


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _blocks(curve: Sequence[float | None], width: int, maximize: bool) -> str:
    """The incumbent over evaluations as a row of blocks, the better the higher."""
    known = [value for value in curve if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    count = min(width, len(curve))
    shown = [curve[(k + 1) * len(curve) // count - 1] for k in range(count)]
    text = ""
    for value in shown:
        if value is None:
            text += " "
            continue
        worst = low if maximize else high
        share = 1.0 if high == low else abs(value - worst) / (high - low)
        text += _BLOCKS[round(share * (len(_BLOCKS) - 1))]
    return text
