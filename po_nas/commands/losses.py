"""``po-nas losses``."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import print_table

app = typer.Typer(help="Losses of predictors and their hyper-parameters.", no_args_is_help=True)


@app.command("list")
def list_(pattern: Annotated[str, typer.Argument(help="wildcard")] = "*", plugin: Plugins = None) -> None:
    """List the losses."""
    import losses

    rows = ((e.name, ", ".join(e.tags), e.summary, e.reference) for e in losses.registry.entries(pattern))
    print_table(("name", "category", "summary", "reference"), rows)


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a loss: what it computes, what it needs, its hyper-parameters."""
    import losses

    spec = losses.spec(name)
    print(inspect.cleandoc(losses.registry.get(name).__doc__ or spec.summary) + "\n")
    print_table(
        ("", ""),
        [
            ("category", spec.category),
            ("labels", spec.labels),
            ("head", spec.head),
            ("learning rate", f"{spec.learning_rate:g}"),
            ("gradient clip", "none" if spec.gradient_clip is None else f"{spec.gradient_clip:g}"),
            ("reference", spec.reference),
        ],
    )
    if spec.hyperparameters:
        print()
        print_table(
            ("hyper-parameter", "default", "allowed", "unit", "meaning"),
            ((h.name, str(h.default), h.allowed, h.unit, h.meaning) for h in spec.hyperparameters),
        )
