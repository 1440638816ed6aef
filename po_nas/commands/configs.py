"""``po-nas configs``: the configurations and studies that come with the package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from po_nas.commands.config_files import folder, packaged_file, packaged_files
from po_nas.commands.options import writable_file
from po_nas.commands.tables import print_table
from po_nas.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(help="The configurations and studies that come with the package.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List them: name, and what each is for."""
    names = (file.relative_to(folder()).with_suffix("").as_posix() for file in packaged_files())
    print_table(("name", "summary"), list(zip(names, map(_summary, packaged_files()), strict=True)))


def _summary(file: Path) -> str:
    """The first sentence of the comment at the top."""
    words = " ".join(_comment(file))
    return words.partition(". ")[0].partition(":  ")[0].rstrip(".:")


def _comment(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        if line.startswith("#   "):
            return
        yield line.lstrip("# ")


_Name = Annotated[str, typer.Argument(help="name, with or without its folder, such as quickstart")]


@app.command()
def show(name: _Name) -> None:
    """Show one."""
    print(packaged_file(name).read_text(encoding="utf-8"), end="")


@app.command()
def copy(
    name: _Name,
    out: Annotated[Path, typer.Option(help="the copy, or the folder for it")] = Path(),
) -> None:
    """Copy one, to be changed."""
    source = packaged_file(name)
    target = out / source.name if out.is_dir() else out
    if target.exists():
        raise ConfigError("--out", target, "is there already; choose another name")
    writable_file(target)
    shutil.copyfile(source, target)
    print(target)
