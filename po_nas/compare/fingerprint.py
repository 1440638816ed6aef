"""Which files a search depends on, plug-ins and scores, so that an edited one is not taken for the one that was run."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from po_nas.registry import kinds_of, load_plugin

__all__ = ["fingerprints"]


def fingerprints(plugins: Sequence[str], method: type) -> tuple[str, ...]:
    """SHA-256 of the plug-ins that may decide the results of a method, of a package all its Python files, ascending.

    `plugins` may be files of scores too, which may decide all results.

    A plug-in that only registers methods decides the results of those, and of methods that derive from them; any other
    may decide those of all. A hash is that of the first time that this process asks, right after it has loaded the
    plug-in: what is edited later is not what runs here.
    """
    modules = {kind.__module__ for kind in method.__mro__}
    return tuple(sorted(_hash(plugin) for plugin in plugins if _matters(plugin, modules)))


def _matters(plugin: str, modules: set[str]) -> bool:
    if plugin.endswith((".json", ".npz")):
        return True
    name = load_plugin(plugin).__name__
    own = any(module == name or module.startswith(f"{name}.") for module in modules)
    return own or kinds_of(name) != {"method"}


@cache
def _hash(plugin: str) -> str:
    digest = hashlib.sha256()
    for path in _files(plugin):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(plugin: str) -> list[Path]:
    if plugin.endswith((".py", ".json", ".npz")):
        return [Path(plugin)]
    spec = importlib.util.find_spec(plugin)
    if spec is None:
        return []
    folders = spec.submodule_search_locations
    if folders is not None:
        return sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []
