"""``po-nas losses``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import print_table

if TYPE_CHECKING:
    from losses.metadata import Hyperparameter


class Kind(StrEnum):
    """What a loss is a loss of."""

    predictor = "predictor"
    classification = "classification"


app = typer.Typer(help="Losses of predictors and of classifiers, and their hyper-parameters.", no_args_is_help=True)


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="wildcard")] = "*",
    kind: Annotated[
        Kind, typer.Option(help="losses of predictors, or of classifiers, which trainings use as training.loss")
    ] = Kind.predictor,
    plugin: Plugins = None,
) -> None:
    """List the losses; those of classifiers with the formula that they sum over the classes."""
    import losses
    from losses import classification

    if kind is Kind.classification:
        told = ((e, e.spec) for e in classification.registry.entries(pattern))
        found = ((e.name, ", ".join(e.tags), e.summary, getattr(spec, "formula", ""), e.reference) for e, spec in told)
        print_table(("name", "category", "summary", "formula", "reference"), found)
        return
    rows = ((e.name, ", ".join(e.tags), e.summary, e.reference) for e in losses.registry.entries(pattern))
    print_table(("name", "category", "summary", "reference"), rows)


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a loss: what it computes, what it needs, its hyper-parameters."""
    import losses
    from losses import classification

    if name not in losses.registry and name in classification.registry:
        _describe_classification(name)
        return
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
    _print_hyperparameters(spec.hyperparameters)


def _describe_classification(name: str) -> None:
    from losses import classification

    spec = classification.spec(name)
    print(f"{spec.summary}\n")
    formula = [("formula", spec.formula), ("LaTeX", classification.latex(spec.formula))] if spec.formula else []
    print_table(("", ""), [("category", "classification"), *formula, ("reference", spec.reference)])
    _print_hyperparameters(spec.hyperparameters)


def _print_hyperparameters(hyperparameters: Sequence[Hyperparameter]) -> None:
    if hyperparameters:
        print()
        print_table(
            ("hyper-parameter", "default", "allowed", "unit", "meaning"),
            ((h.name, str(h.default), h.allowed, h.unit, h.meaning) for h in hyperparameters),
        )
