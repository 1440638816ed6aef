"""Options that several verbs share."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import proxies  # noqa: F401 - its registry knows who reads files of evolved proxies
from po_nas.commands.config_files import config_path
from po_nas.errors import ConfigError
from po_nas.registry import load_plugin

if TYPE_CHECKING:
    from po_nas.runtime.trusted_plugins import Trust

__all__ = [
    "Plugins",
    "Trusted",
    "load_proxies",
    "page_command",
    "settings_argument",
    "split_settings",
    "trust_of",
    "writable_file",
    "writable_folder",
]


def _load(plugins: list[str] | None) -> list[str] | None:
    for plugin in plugins or ():
        load_plugin(plugin)
    return plugins


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", callback=_load, help="Python file, module or evolved proxy (.json) to load first (repeatable)"
    ),
]
"""Plug-ins, imported while the command line is parsed."""


Trusted = Annotated[
    bool, typer.Option("--trust", help="load the plug-ins that it names, whoever wrote them; they are remembered")
]


def settings_argument(example: str) -> Any:
    """The argument of verbs that take a configuration and overrides, such as `example`."""
    said = f"a configuration and overrides, e.g. {example}"
    return typer.Argument(metavar="[CONFIG.yaml] [key=value …]", help=said)


def writable_folder(path: Path) -> Path:
    """The folder, made; `ConfigError` where it cannot be, before anything is computed for it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("--out", path, f"is no folder that can be written ({error.strerror})") from error
    if not os.access(path, os.W_OK):
        raise ConfigError("--out", path, "is no folder that can be written")
    return path


def writable_file(path: Path) -> Path:
    """A file that can be written, its folder made; `ConfigError` where it cannot be."""
    if path.is_dir():
        raise ConfigError("--out", path, "is a folder; name a file in it")
    writable_folder(path.parent)
    return path


def page_command(words: Sequence[str], out: Path, usual: Path, plugins: Sequence[str] | None, markdown: Path) -> str:
    """The command that makes a page, as a shell takes it: `words`, and the options that are not the usual ones."""
    options = [word for name in plugins or () for word in ("--plugin", name)]
    options += [] if out == usual else ["--out", str(out)]
    return shlex.join(["po-nas", *words, *options, "--markdown", str(markdown)])


def trust_of(given: bool) -> Trust:
    """How plug-ins that a file names are trusted: all with ``--trust``; else a person at a terminal is asked."""
    return given or (_ask if sys.stdin.isatty() and sys.stdout.isatty() else False)


def _ask(code: str, file: Path) -> bool:
    """Whether a person says yes; Ctrl-C ends the command."""
    try:
        # As literals: a name may hold what a terminal obeys.
        answer = input(f"{str(file)!r} names the plug-in {code!r}, whose code would run.\nTrust it? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in {"y", "yes"}


def split_settings(settings: Sequence[str] | None) -> tuple[Path | None, tuple[str, ...]]:
    """The configuration file, if any, and the ``key=value`` overrides of ``[CONFIG.yaml] [key=value …]``."""
    given = settings or ()
    configs, overrides = [s for s in given if "=" not in s], tuple(s for s in given if "=" in s)
    if len(configs) > 1:
        raise typer.BadParameter(f"expected one configuration file, got {', '.join(configs)}")
    return (config_path(configs[0]) if configs else None), overrides


def load_proxies(names: list[str] | None) -> list[str] | None:
    """Names of proxies in which files of evolved proxies have been loaded and replaced by their names."""
    if not any(name.endswith(".json") for name in names or ()):
        return names
    from proxies.evolved.proxy import load_file

    return [load_file(Path(name)) if name.endswith(".json") else name for name in names or ()]
