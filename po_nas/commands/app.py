"""The ``po-nas`` command."""

from __future__ import annotations

import sys

import typer

from po_nas.commands import benchmarks, data, methods, plugins, run, spaces
from po_nas.errors import PoNasError

__all__ = ["app", "main"]

app = typer.Typer(
    name="po-nas",
    help="Spend a counted budget of evaluations to find a good neural architecture.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
run.add_to(app)
app.add_typer(spaces.app, name="spaces")
app.add_typer(benchmarks.app, name="benchmarks")
app.add_typer(methods.app, name="methods")
app.add_typer(data.app, name="data")
app.command("plugins", help="List every plug-in, built-in or installed.")(plugins.plugins)


def main() -> None:
    """Run the command line; an error po-nas raised on purpose is one line on stderr and exit code 2."""
    try:
        app()
    except PoNasError as error:
        print(f"po-nas: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
