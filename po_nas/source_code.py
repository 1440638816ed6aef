"""Hashes of the code of functions and classes: what it has computed is not taken for what it would compute now."""

from __future__ import annotations

import hashlib
import inspect
import sys
import uuid
from functools import cache, partial
from pathlib import Path
from typing import Any

__all__ = ["code_hash"]


def code_hash(*things: object) -> str:
    """A hash (16 hexadecimal digits) of functions, classes and callable objects: their names, code and values.

    Code is that of the whole file, and of all Python files of the package, for a function may call anything that is
    there. Values are what a function has from around it (closure, defaults, the object of a method) and what an object
    holds: numbers, text, and collections, functions and objects of these. Where there is no file (a notebook) code is
    the source; where that is not known, or a value is something else, no two processes agree on the hash.
    """
    digest = hashlib.sha256()
    for thing in things:
        digest.update(_told(thing, ()).encode())
    return digest.hexdigest()[:16]


def _told(thing: object, inside: tuple[int, ...]) -> str:
    """What a value is, in words; `inside` are the identities of those that hold it."""
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes):
        return repr(thing)
    if id(thing) in inside:
        return f"circle {inside.index(id(thing))}"
    inside = (*inside, id(thing))
    if isinstance(thing, list | tuple):
        return f"{type(thing).__name__}({', '.join(_told(item, inside) for item in thing)})"
    if isinstance(thing, set | frozenset):
        return f"{type(thing).__name__}({', '.join(sorted(_told(item, inside) for item in thing))})"
    if isinstance(thing, dict):
        return f"dict({', '.join(f'{_told(k, inside)}: {_told(v, inside)}' for k, v in thing.items())})"
    if inspect.ismodule(thing):
        return f"module {thing.__name__}"
    if isinstance(thing, partial):
        return f"partial({_told(thing.func, inside)}, {_told(thing.args, inside)}, {_told(thing.keywords, inside)})"
    if inspect.ismethod(thing):
        return f"{_told(thing.__func__, inside)} of {_told(thing.__self__, inside)}"
    if inspect.isclass(thing):
        return f"{thing.__qualname__} {_code(thing)}"
    if inspect.isroutine(thing):
        around = [_cell(cell) for cell in getattr(thing, "__closure__", None) or ()]
        given = (getattr(thing, "__defaults__", None), getattr(thing, "__kwdefaults__", None))
        return f"{thing.__qualname__} {_code(thing)} {_told((*around, *given), inside)}"
    if type(thing).__module__.partition(".")[0] in _HIDDEN or not hasattr(thing, "__dict__"):
        return f"{_nowhere()} {id(thing)}"
    return f"{type(thing).__qualname__} {_code(type(thing))} {_told(vars(thing), inside)}"


_HIDDEN = {"torch", "numpy"}
"""Packages whose objects hold more than their attributes say."""


def _cell(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _code(thing: Any) -> str:
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
