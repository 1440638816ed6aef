"""``po-nas plugins``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Annotated

import typer

from po_nas.commands.options import Plugins
from po_nas.commands.tables import print_table
from po_nas.registry import Registry

__all__ = ["plugins", "registries"]

_REGISTRIES = (
    "po_nas.spaces",
    "po_nas.benchmarks",
    "po_nas.methods",
    "po_nas.runtime.executors",
    "po_nas.networks",
    "po_nas.training.data_sets",
    "proxies",
    "losses",
    "losses.classification",
    "surrogates",
    "surrogates.networks",
)


def registries() -> Iterator[Registry[object]]:
    """All registries of the distribution."""
    for place in _REGISTRIES:
        yield importlib.import_module(place).registry


def plugins(
    check: Annotated[bool, typer.Option("--check", help="load each one; exit code 1 when one is broken")] = False,
    plugin: Plugins = None,
) -> None:
    """List every plug-in, built-in or installed; `--check` loads each on its own."""
    if not check:
        rows = [(r.kind, name, _origin(r, name)) for r in registries() for name in r.names()]
        print_table(("kind", "name", "from"), rows)
        return
    results = [result for registry in registries() for result in registry.check()]
    print_table(("kind", "name", "from", "state"), ((r.kind, r.name, r.origin, r.error or "ok") for r in results))
    if any(r.error for r in results):
        raise typer.Exit(1)


def _origin(registry: Registry[object], name: str) -> str:
    from po_nas.errors import PoNasError

    try:
        return registry.entry(name).origin
    except PoNasError as error:
        return str(error)
