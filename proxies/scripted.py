"""Finds scripted functions that a module calls: no pass sees what they compute, nor does anything tell."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from po_nas.source_code import closed_over, names_in

__all__ = ["scripted_part"]

_SEEN_THROUGH = frozenset(("torch", "numpy", *sys.stdlib_module_names))
"""Packages whose functions call no scripted ones that a network would use."""


def scripted_part(module: nn.Module) -> str | None:
    """The name of a part that is scripted or traced, or of a scripted function that a part calls; None without any.

    Functions are found by their names in the code of ``forward`` and of the Python functions that are named there.
    """
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            return str(part.original_name)
        found = _scripted(part.forward, part, set())
        if found is not None:
            return found
    return None


def _scripted(value: Any, part: nn.Module, seen: set[int]) -> str | None:
    if isinstance(value, torch.jit.ScriptFunction):
        return str(value.name)
    while isinstance(value, partial | MethodType):
        value = value.func if isinstance(value, partial) else value.__func__
    if not isinstance(value, FunctionType) or id(value) in seen or _package(value) in _SEEN_THROUGH:
        return None
    seen.add(id(value))
    return next((found for one in _named(value, part) if (found := _scripted(one, part, seen)) is not None), None)


def _named(function: FunctionType, part: nn.Module) -> Iterator[Any]:
    """What the code of a function names: globals, what it has from around it, attributes of the part and of modules."""
    names = set(names_in(function.__code__))
    yield getattr(function, "__wrapped__", None)
    yield from closed_over(function)
    for name in names:
        value = function.__globals__.get(name)
        yield value
        if isinstance(value, ModuleType) and value.__name__.partition(".")[0] not in _SEEN_THROUGH:
            yield from (vars(value).get(inner) for inner in names)
        yield vars(part).get(name)
        yield inspect.getattr_static(type(part), name, None)


def _package(function: FunctionType) -> str:
    return str(function.__module__).partition(".")[0]
