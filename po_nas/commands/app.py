"""The ``po-nas`` command."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from po_nas._version import __version__
from po_nas.commands import (
    benchmarks,
    compare,
    configs,
    data,
    evolve,
    export,
    follow,
    imports,
    losses,
    methods,
    plugins,
    profile,
    proxies,
    run,
    spaces,
    study,
    surrogates,
    train,
)
from po_nas.errors import PoNasError, RenamedWarning

__all__ = ["app", "main"]

app = typer.Typer(name="po-nas", no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit")
    ] = False,
) -> None:
    """Spend a counted budget of evaluations to find a good neural architecture."""


run.add_to(app)
app.command()(follow.watch)
app.command()(follow.serve)
app.command()(export.export)
app.command("import")(imports.import_evaluations)
app.command()(train.train)
app.command()(profile.profile)
app.command()(compare.compare)
for _group in (spaces, benchmarks, methods, losses, proxies, surrogates, study, data, configs, evolve):
    app.add_typer(_group.app, name=_group.__name__.rpartition(".")[2])
app.command("plugins", help="List every plug-in, built-in or installed.")(plugins.plugins)


def main() -> None:
    """Run the command line.

    Bad input and every error that po-nas raised on purpose is one line on stderr and exit code 2; no traceback.
    """
    warnings.showwarning = partial(_warn, warnings.showwarning)
    try:
        code = app(standalone_mode=False)
    except PoNasError as error:
        _fail(str(error))
    except Exception as error:
        # The parser's errors (unknown option, missing argument) know how to describe themselves.
        describe = getattr(error, "format_message", None)
        if describe is None or type(error).__name__ == "NoArgsIsHelpError":
            if describe is None:
                raise
            print(describe())
            sys.exit(0)
        _fail(describe())
    sys.exit(code or 0)


def _warn(otherwise: Callable[..., None], message: Warning | str, *place: Any, **options: Any) -> None:
    """An old name is one line on stderr; every other warning is shown as ever."""
    if isinstance(message, RenamedWarning):
        print(f"po-nas: {message}", file=sys.stderr)
    else:
        otherwise(message, *place, **options)


def _fail(message: str) -> None:
    print(f"po-nas: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
