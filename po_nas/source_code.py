"""Hashes of the code of functions and classes: what it has computed is not taken for what it would compute now."""

from __future__ import annotations

import hashlib
import inspect
import sys
import uuid
from functools import cache, partial
from pathlib import Path

__all__ = ["code_hash"]


def code_hash(*things: object) -> str:
    """A hash (16 hexadecimal digits) of the code of functions, classes and callable objects.

    It is that of the whole file, and of all Python files of the package, for a function may call anything that is
    there. Where there is no file (a notebook) it is that of the source; where that is not known either, no two
    processes agree on it.
    """
    digest = hashlib.sha256()
    for thing in things:
        digest.update(_told(thing).encode())
    return digest.hexdigest()[:16]


def _told(thing: object) -> str:
    if isinstance(thing, partial):
        return f"{_told(thing.func)} {thing.args!r} {sorted(thing.keywords.items())!r}"
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        thing = type(thing)
    module = sys.modules.get(thing.__module__)
    file = getattr(module, "__file__", None)
    if file is not None and file.endswith(".py"):
        return _of_file(Path(file), thing.__module__)
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return _nowhere()


@cache
def _of_file(file: Path, module: str) -> str:
    """The hash of a file, or of the package that it belongs to; as it was when this process asked first."""
    package = sys.modules.get(module.partition(".")[0])
    files = [file]
    if package is not None and "." in module:
        files = sorted(path for folder in package.__path__ for path in Path(folder).rglob("*.py"))
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(path.read_bytes())
    except OSError:
        return _nowhere()
    return digest.hexdigest()


@cache
def _nowhere() -> str:
    return uuid.uuid4().hex
