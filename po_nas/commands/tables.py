"""Printing lists as tables: aligned on a terminal, tab-separated when piped."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from po_nas.commands.options import Plugins

__all__ = ["add_list", "print_table"]


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
