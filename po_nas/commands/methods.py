"""``po-nas methods``."""

from __future__ import annotations

import inspect

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import add_list, print_table

app = typer.Typer(help="Search methods and their options.", no_args_is_help=True)
add_list(app, "po_nas.methods", "methods")


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a method and its options, which are set as method.<option>=value."""
    from po_nas import methods

    kind = methods.registry.get(name)
    print(inspect.cleandoc(kind.__doc__ or "") + "\n")
    rows = [
        (f"method.{key}", field.get_default(call_default_factory=True), field.description)
        for key, field in kind.Options.model_fields.items()
    ]
    print_table(("option", "default", "meaning"), rows)
