"""Which code of plug-ins a search depends on, so that an edited plug-in is not taken for the one that was run."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from po_nas.registry import kinds_of, load_plugin

__all__ = ["fingerprints"]


def fingerprints(plugins: Sequence[str], method_module: str) -> tuple[str, ...]:
    """SHA-256 of the files of the plug-ins that may decide the results of a method of `method_module`.

    A plug-in that only registers methods decides the results of its own; any other may decide those of all. Of a
    package, the ``__init__.py`` is what counts.
    """
    found = set()
    for plugin in plugins:
        path = Path(plugin)
        name = "" if path.suffix == ".json" else load_plugin(plugin).__name__
        if name and name != method_module and kinds_of(name) == {"method"}:
            continue
        if path.suffix not in {".py", ".json"}:
            spec = importlib.util.find_spec(plugin)
            path = Path(spec.origin) if spec is not None and spec.origin else path
        if path.is_file():
            found.add(hashlib.sha256(path.read_bytes()).hexdigest())
    return tuple(sorted(found))
