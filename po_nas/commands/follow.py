"""``po-nas watch | serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from po_nas.errors import ConfigError

__all__ = ["serve", "watch"]

_Directories = Annotated[list[Path], typer.Argument(metavar="DIR…", help="run directories, and folders with some")]
_PORT = 8470


def watch(
    directories: _Directories,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="between two looks")] = 1.0,
) -> None:
    """Watch: follow runs on the terminal, until none of them is running."""
    from rich.console import Console

    from po_nas.reports.live import RunFollower
    from po_nas.reports.watch import watch as follow

    try:
        follow(RunFollower(directories), Console(highlight=False), interval)
    except KeyboardInterrupt:
        # The runs are other processes, and go on.
        raise typer.Exit(130) from None


def serve(
    directories: _Directories,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help=f"default: {_PORT}, or a free one where that is taken")
    ] = None,
) -> None:
    """Serve: follow runs on a page for the browsers of this machine, side by side, until Ctrl-C."""
    from po_nas.reports.live import RunFollower
    from po_nas.reports.serve import ADDRESS, RunServer

    follower = RunFollower(directories)
    try:
        server = RunServer(follower, _PORT if port is None else port)
    except OSError as error:
        if port is not None:
            raise ConfigError("port", port, f"{ADDRESS} cannot be used ({error.strerror}); choose another") from error
        server = RunServer(follower)
    print(f"runs     {len(follower.look())}\npage     {server.url}\nCtrl-C ends it; runs go on", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
