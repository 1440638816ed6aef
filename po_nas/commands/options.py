"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

from po_nas.registry import load_plugin

__all__ = ["Plugins"]


def _load(plugins: list[str] | None) -> list[str] | None:
    for plugin in plugins or ():
        load_plugin(plugin)
    return plugins


Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", callback=_load, help="Python file or module to import first (repeatable)"),
]
"""Plug-ins, imported while the command line is parsed."""
