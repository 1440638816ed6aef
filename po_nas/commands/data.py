"""``po-nas data``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from po_nas.commands.tables import print_table

app = typer.Typer(help="Public benchmark data: fetch, check, convert.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(help="data sets (see: po-nas data list), or 'all'")]


@app.command("list")
def list_() -> None:
    """List the data sets, what of them is on this machine, and where."""
    from po_nas.benchmarks import data
    from po_nas.benchmarks.data.files import cache_folder

    rows = []
    for name in data.names():
        status = data.status(name)
        licences = ", ".join(sorted({record.licence for record in data.files_of(name)}))
        files = f"{status.files}/{status.total_files}"
        megabytes = f"{status.bytes / 1e6:.1f}/{status.total_bytes / 1e6:.1f}"
        rows.append((name, status.state, files, megabytes, licences, data.dataset(name).summary))
    print_table(("name", "state", "files", "MB", "licences", "summary"), rows)
    print(f"cache: {cache_folder()}", file=sys.stderr)


@app.command()
def get(
    names: Names,
    full: Annotated[bool, typer.Option("--full", help="read whole tables; default: their sizes and footers")] = False,
) -> None:
    """Fetch data sets and convert them; files that are already there and sound are kept."""
    from po_nas.benchmarks import data
    from po_nas.benchmarks.data.files import cache_folder

    for name in _expand(names):
        if sys.stderr.isatty():
            _get_with_bar(name, full)
        else:
            data.get(name, full=full)
        print(f"{name}: ready in {cache_folder()}")


@app.command()
def verify(names: Names) -> None:
    """Re-hash every file and re-read every table; exit code 1 when there are problems."""
    from po_nas.benchmarks import data

    found = False
    for name in _expand(names):
        problems = data.verify(name)
        found = found or bool(problems)
        for problem in problems:
            print(f"{name}: {problem}")
        if not problems:
            print(f"{name}: sound")
    if found:
        raise typer.Exit(1)


@app.command()
def convert(names: Names) -> None:
    """Rebuild the tables from the fetched files."""
    from po_nas.benchmarks import data

    for name in _expand(names):
        data.convert(name)
        print(f"{name}: converted")


def _expand(names: list[str]) -> list[str]:
    """The named data sets, all of them known before work on the first begins."""
    from po_nas.benchmarks import data

    return data.names() if names == ["all"] else [data.dataset(name).name for name in names]


def _get_with_bar(name: str, full: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from po_nas.benchmarks import data

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name)
        data.get(
            name,
            lambda what, done, total: progress.update(task, description=f"{name}: {what}", completed=done, total=total),
            full=full,
        )
