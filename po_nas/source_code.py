"""Hashes of the code of functions and classes: what it has computed is not taken for what it would compute now."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import uuid
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

__all__ = ["closed_over", "code_hash", "names_in"]


def code_hash(*things: object) -> str:
    """A hash (16 hexadecimal digits) of functions, classes and callable objects: their names, code and values.

    Code is that of the whole file, and of all Python files of the package, for a function may call anything that is
    there. Values are what a function has from around it (closure, defaults, the object of a method, data of its module
    that it names) and what an object holds: numbers, text, arrays, tensors, and collections, functions and objects of
    these. Where there is no file (a notebook) code is the source; where that is not known no two processes agree on the
    hash, and where a value is something else no two calls do.
    """
    digest = hashlib.sha256()
    for thing in things:
        digest.update(_told(thing, ()).encode())
    return digest.hexdigest()[:16]


def _told(thing: object, inside: tuple[int, ...]) -> str:
    """What a value is, in words; `inside` are the identities of those that hold it."""
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes | range | re.Pattern):
        return repr(thing)
    if isinstance(thing, os.PathLike):
        return f"{type(thing).__name__}({os.fspath(thing)!r})"
    numbers = _numbers(thing)
    if numbers is not None:
        return numbers
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
        around = closed_over(thing)
        given = (getattr(thing, "__defaults__", None), getattr(thing, "__kwdefaults__", None))
        # A file may hold several of one name, such as lambdas.
        own = _compiled(getattr(thing, "__code__", None))
        return f"{thing.__qualname__} {_code(thing)} {own} {_told((*around, *given, _named(thing)), inside)}"
    torch = sys.modules.get("torch")
    module = torch is not None and isinstance(thing, torch.nn.Module)
    if not hasattr(thing, "__dict__") or (not module and type(thing).__module__.partition(".")[0] in _HIDDEN):
        return uuid.uuid4().hex
    return f"{type(thing).__qualname__} {_code(type(thing))} {_told(vars(thing), inside)}"


_HIDDEN = {"torch", "numpy"}
"""Packages whose objects hold more than their attributes say (modules aside), and whose version tells their code."""


def _numbers(thing: object) -> str | None:
    """An array, a tensor or what describes one; None for anything else."""
    if isinstance(thing, np.ndarray | np.generic) and not thing.dtype.hasobject:
        digest = hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()
        return f"array {thing.dtype} {thing.shape} {digest}"
    if isinstance(thing, np.dtype):
        return repr(thing)
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    if isinstance(thing, torch.dtype | torch.device | torch.Size | torch.layout | torch.memory_format):
        return repr(thing)
    if not isinstance(thing, torch.Tensor) or type(thing) not in (torch.Tensor, torch.nn.Parameter):
        return None
    if thing.layout == torch.strided and not thing.is_quantized:
        if thing.is_meta:
            return f"tensor {thing.dtype} {thing.device} {tuple(thing.shape)}"
        plain = thing.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        digest = hashlib.sha256(plain.view(torch.uint8).numpy().tobytes()).hexdigest()
        return f"tensor {thing.dtype} {thing.device} {tuple(thing.shape)} {digest}"
    return None


def _compiled(code: Any) -> str:
    if code is None:
        return ""
    constants = (_compiled(one) if inspect.iscode(one) else _told(one, ()) for one in code.co_consts)
    return hashlib.sha256(repr((code.co_code, code.co_names, *constants)).encode()).hexdigest()


def _named(function: Any) -> list[object]:
    """Data of its module that a function names: what is there when it is called is not what its file says."""
    code, around = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    names = () if code is None else names_in(code)
    return [(name, around[name]) for name in names if name in around and _is_data(around[name])]


def closed_over(function: Any) -> list[object]:
    """What a function has from around it; None for what is not there yet."""
    return [_cell(cell) for cell in getattr(function, "__closure__", None) or ()]


def names_in(code: CodeType) -> Iterator[str]:
    """The globals and attributes that code names, and functions inside of it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def _is_data(value: object) -> bool:
    """Not a list or a dictionary, in which a module may note what it has done."""
    if isinstance(value, tuple | frozenset):
        return all(map(_is_data, value))
    return value is None or isinstance(value, bool | int | float | complex | str | bytes) or _numbers(value) is not None


def _cell(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _code(thing: Any) -> str:
    root = str(thing.__module__).partition(".")[0]
    if root in _HIDDEN:
        return f"{root} {getattr(sys.modules.get(root), '__version__', '')}"
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
