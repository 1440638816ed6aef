"""``po-nas methods``."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import print_table

app = typer.Typer(help="Search methods and their options.", no_args_is_help=True)


@app.command("list")
def list_(pattern: Annotated[str, typer.Argument(help="wildcard")] = "*", plugin: Plugins = None) -> None:
    """List the methods."""
    from po_nas import methods

    print_table(
        ("name", "summary", "reference"), ((e.name, e.summary, e.reference) for e in methods.registry.entries(pattern))
    )


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a method and its options, which are set as method.<option>=value."""
    from po_nas import methods

    kind = methods.registry.get(name)
    print(inspect.cleandoc(kind.__doc__ or "") + "\n")
    rows = [(f"method.{key}", field.default, field.description) for key, field in kind.Options.model_fields.items()]
    print_table(("option", "default", "meaning"), rows)
