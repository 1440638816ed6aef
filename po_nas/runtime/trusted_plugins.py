"""Plug-ins that a file names: code of somebody else is loaded only when it is trusted.

A run directory and a study name the plug-ins that they need, and to load one is to run its code. Trusted is what this
process has loaded already (``--plugin``), what is given with ``trust``, and what is remembered: the plug-ins of every
search that was started here and every answer *yes*, by their place and the SHA-256 of their code. Files of evolved
proxies (``.json``) are data and need no trust.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from po_nas.benchmarks.data.files import cache_folder
from po_nas.errors import ConfigError, PluginError, UntrustedPluginError
from po_nas.files import replace_file
from po_nas.registry import is_loaded, load_plugin, reads_as_data

__all__ = ["Trust", "formulas", "load_chosen", "load_named"]

_log = logging.getLogger(__name__)

Trust = bool | Callable[[str, Path], bool]
"""True trusts what a file names, False only what is known; a function is asked with the code's place and the file."""

_KNOWN = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class _Code:
    """The code of a plug-in: the file or folder where it lies, and the SHA-256 of all of it."""

    path: Path
    digest: str


def load_chosen(plugins: Sequence[str]) -> None:
    """Load the plug-ins of a search that is started here, and remember their code as trusted."""
    for plugin in plugins:
        code = None if reads_as_data(plugin) else _code(plugin)
        load_plugin(plugin)
        if code is not None:
            _remember(code)


def formulas(plugins: Sequence[str]) -> dict[str, str]:
    """SHA-256 of those plug-ins that are no code, such as evolved proxies, by their paths."""
    return {
        plugin: hashlib.sha256(Path(plugin).read_bytes()).hexdigest() for plugin in plugins if reads_as_data(plugin)
    }


def load_named(
    plugins: Sequence[str], file: Path, trust: Trust = False, *, unchanged: Mapping[str, str] | None = None
) -> None:
    """Load the plug-ins that a file names, which somebody else may have written.

    Args:
        plugins: Paths of files and names of modules.
        file: Where they are named.
        trust: Whether to load code that is not known. What is loaded so is known from then on.
        unchanged: `formulas` of the plug-ins as they must still be.

    Raises:
        ConfigError: A plug-in that is no code is not the one of `unchanged`.
        UntrustedPluginError: A plug-in is not trusted; those before it have been loaded.
        PluginError: A plug-in is gone, or its code fails.
    """
    for plugin in plugins:
        if not (reads_as_data(plugin) or is_loaded(plugin)):
            # What is nowhere cannot run: `load_plugin` says so.
            code = _code(plugin)
            if code is not None and _known().get(str(code.path)) != code.digest:
                if not (trust(str(code.path), file) if callable(trust) else trust):
                    raise UntrustedPluginError(plugin, code.path, file)
                _remember(code)
        load_plugin(plugin)
        if unchanged and plugin in unchanged and formulas([plugin]) != {plugin: unchanged[plugin]}:
            remedy = "is not the file that the run began with, whose scores decide its trials; put that back"
            raise ConfigError("plugins", Path(plugin), f"{remedy}, or begin a new run")


def _code(plugin: str) -> _Code | None:
    """Where a plug-in lies and what it is, found without running any of it; None where there is none."""
    try:
        if plugin.endswith(".py"):
            place = Path(plugin).resolve()
            return _Code(place, hashlib.sha256(place.read_bytes()).hexdigest()) if place.is_file() else None
        # Importing a.b runs all that a imports: the whole package is what must be known.
        spec = importlib.util.find_spec(plugin.partition(".")[0])
        if spec is None:
            return None
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        origin = Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
        if not folders:
            return None if origin is None else _Code(origin, hashlib.sha256(origin.read_bytes()).hexdigest())
        digest = hashlib.sha256()
        for folder in folders:
            for path in sorted(p for p in folder.rglob("*") if p.name.endswith(tuple(all_suffixes()))):
                if path.parent.name != "__pycache__" and path.is_file():
                    digest.update(repr((str(path.relative_to(folder)), path.stat().st_size)).encode())
                    digest.update(path.read_bytes())
        return _Code(folders[0], digest.hexdigest())
    except (OSError, ValueError, ImportError, AttributeError) as error:
        raise PluginError("plug-in", plugin, plugin, error) from error


def _store() -> Path:
    """A file for each user: a cache may be shared, trust is not."""
    return cache_folder() / f"trusted_plugins_{os.getuid()}.json"


def _known() -> dict[str, str]:
    """SHA-256 of trusted code by its place; nothing where the file is absent, damaged or somebody else's."""
    path = _store()
    try:
        return _KNOWN.validate_json(path.read_bytes(), strict=True) if path.stat().st_uid == os.getuid() else {}
    except (OSError, ValidationError):
        return {}


def _remember(code: _Code) -> None:
    path = _store()
    if _known().get(str(code.path)) == code.digest:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock"), timeout=10):
            replace_file(path, json.dumps(_known() | {str(code.path): code.digest}, indent=1).encode("ascii"))
    except (OSError, Timeout) as error:
        _log.warning("%s cannot be written (%s): %s will be asked about again", path, error, code.path)
