"""``po-nas surrogates``."""

from __future__ import annotations

import inspect
from dataclasses import fields

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import add_list, print_table

app = typer.Typer(help="Surrogates, which predict performance, and their options.", no_args_is_help=True)
add_list(app, "surrogates", "surrogates")


@app.command()
def describe(name: str, plugin: Plugins = None) -> None:
    """Describe a surrogate, its options, and those of its network and its training."""
    import surrogates
    from surrogates import networks
    from surrogates.ensemble import DeepEnsemble
    from surrogates.training import TrainingSettings

    kind = surrogates.registry.get(name)
    ensemble = getattr(kind, "func", kind) is DeepEnsemble
    described = networks.registry.get(name) if ensemble and name in networks.registry else kind
    print(inspect.cleandoc(described.__doc__ or surrogates.registry.entry(name).summary) + "\n")
    parameters = inspect.signature(kind).parameters.values()
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rows = [(p.name, "required" if p.default is p.empty else p.default) for p in named]
    if ensemble:
        for network in [name] if name in networks.registry else networks.names():
            options = networks.options(network).items()
            rows += [(f"network_options.{key}" + ("" if network == name else f" ({network})"), v) for key, v in options]
        rows += [(f"settings.{field.name}", field.default) for field in fields(TrainingSettings)]
    print_table(("option", "default"), rows)
