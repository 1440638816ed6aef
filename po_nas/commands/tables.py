"""What commands show: tables, aligned on a terminal and tab-separated when piped, and how far a study is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Self

import typer

from po_nas.commands.options import Plugins

if TYPE_CHECKING:
    from rich.progress import TaskID

    from po_nas.runtime.study import Progress

__all__ = ["ProgressBar", "add_list", "print_table"]

_FIRST_S, _EVERY_S = 10.0, 60.0
"""When a log is told how far something is, in seconds: for the first time, and then every so often."""


def add_list(app: typer.Typer, module: str, what: str) -> None:
    """Give a group of verbs its ``list``, which prints the registry of a module; `what` is listed."""

    @app.command("list", help=f"List the {what}.")
    def list_(pattern: Annotated[str, typer.Argument(help="wildcard")] = "*", plugin: Plugins = None) -> None:
        entries = importlib.import_module(module).registry.entries(pattern)
        print_table(("name", "summary", "reference"), ((e.name, e.summary, e.reference) for e in entries))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header."""
    if not sys.stdout.isatty():
        for row in [header, *rows] if any(header) else rows:
            print("\t".join("" if cell is None else str(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for position, title in enumerate(header):
        # A name that is broken across lines cannot be copied.
        table.add_column(title, overflow="fold", no_wrap=position == 0)
    for row in rows:
        # As text, for brackets are markup otherwise.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    Console(highlight=False).print(table)


class ProgressBar:
    """A context: bars with an estimate of the time left on stderr; what failed or is left out is said as it happens.

    Where there is no terminal, in a log for example, a line a minute stands for the bars, the first after ten seconds.
    An interrupt ends the command with one line, for everything finished is kept.

    Args:
        what: What is counted, in words.
        kept: What of an interrupted command is kept, in words; default: `what`.
    """

    def __init__(self, what: str, kept: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._what, self._kept = what, kept or f"finished {what} are kept"
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        # Parts differ in length, so the estimate looks far back.
        self._bar = Bar(*columns, *times, console=self._console, speed_estimate_period=600)
        self._lines: dict[str, TaskID] = {}
        self._told: set[str] = set()
        self._next = inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lines:
            self._bar.stop()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print(f"\ninterrupted; {self._kept}, run the same command to go on", file=sys.stderr)
            raise typer.Exit(130) from None

    def update(self, progress: Progress) -> None:
        """Show how far the study is."""
        self.count(progress.done, progress.total, description=progress.phase or self._what)
        for message in (*progress.remarks, *(f"failed: {one}" for one in progress.failed)):
            if message not in self._told:
                self._told.add(message)
                self._console.print(message, markup=False, soft_wrap=True)

    def count(self, done: float, total: int, *, line: str = "", description: str = "") -> None:
        """Show that `done` of `total` are done, on a line of its own for every `line`."""
        if not self._lines:
            self._bar.start()
            self._next = inf if self._console.is_terminal else monotonic() + _FIRST_S
        if line not in self._lines:
            self._lines[line] = self._bar.add_task("", total=total)
        self._bar.update(self._lines[line], description=description or line, completed=done, total=total)
        if monotonic() > self._next:
            self._next = monotonic() + _EVERY_S
            self._log(self._lines[line])

    def _log(self, line: TaskID) -> None:
        """A line in place of a bar."""
        task = self._bar.tasks[line]
        times = ((task.elapsed, "so far"), (task.time_remaining, "left"))
        told = [f"{timedelta(seconds=round(seconds))} {what}" for seconds, what in times if seconds is not None]
        text = f"{task.description}: {task.completed:,.0f} of {task.total:,.0f}, {', '.join(told)}"
        self._console.print(text, markup=False, soft_wrap=True)
