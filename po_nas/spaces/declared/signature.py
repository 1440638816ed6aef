"""Whether a function can build networks from the choices of a space: what it has to take, and what it may."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from typing import Any

from po_nas.spaces.declared.errors import DeclarationError
from po_nas.spaces.declared.slots import Layout

__all__ = ["check_signature", "choices_of", "options_of", "takes_rest"]


def check_signature(space: str, function: Callable[..., Any], layout: Layout) -> None:
    """Raise `DeclarationError` unless a function takes every choice by name and needs nothing else."""
    if not callable(function):
        raise DeclarationError(f"network of {space}", f"{function!r} is no function")
    where = f"{getattr(function, '__qualname__', type(function).__qualname__)} of {space}"
    parameters = inspect.signature(function).parameters.values()
    named = _named(function)
    for p in parameters:
        if p.kind is p.POSITIONAL_ONLY and p.default is p.empty:
            raise DeclarationError(where, f"takes {p.name} by position; choices are passed by name")
    for name in layout.choices:
        if name not in named and not takes_rest(function):
            raise DeclarationError(where, f"takes no {name}; use it, or add **rest for choices of the training")
        needed = name in named and named[name].default is inspect.Parameter.empty
        if needed and _may_be_absent(layout, name):
            raise DeclarationError(where, f"{name} does not always exist; give the parameter a default")
    for name, parameter in named.items():
        if name not in layout.choices and parameter.default is parameter.empty:
            raise DeclarationError(where, f"asks for {name}, which is no choice; give it a default or declare it")
    for name in ("seed", "device"):
        if name in named and name not in layout.choices:
            raise DeclarationError(where, f"has an option {name}, which build() itself takes; rename it")


def options_of(function: Callable[..., Any], layout: Layout) -> dict[str, Any]:
    """The parameters of a function that are no choices, by name, with their defaults."""
    return {name: p.default for name, p in _named(function).items() if name not in layout.choices}


def choices_of(function: Callable[..., Any], layout: Layout) -> frozenset[str]:
    """The choices that a function takes by name."""
    return frozenset(_named(function).keys() & layout.choices.keys())


def takes_rest(function: Callable[..., Any]) -> bool:
    """Whether a function takes any name: it has ``**rest``."""
    return _rest(function) is not None


def reads_rest(function: Callable[..., Any]) -> bool:
    """Whether a function may use what its ``**rest`` holds; one whose code cannot be seen may."""
    code, name = getattr(function, "__code__", None), _rest(function)
    if code is None or name is None or hasattr(function, "__wrapped__"):
        return name is not None
    return any(i.argval == name and i.opname.startswith("LOAD") for i in dis.get_instructions(code))


def _rest(function: Callable[..., Any]) -> str | None:
    """What a function calls its ``**rest``; None where it has none."""
    return next((p.name for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_KEYWORD), None)


def _named(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be passed by name."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _may_be_absent(layout: Layout, name: str) -> bool:
    """Whether the whole choice can be missing from a configuration."""
    single = [other for other in layout.choices[name].when if not layout.dimensions[other]]
    return bool(single) or any(_may_be_absent(layout, parent) for parent in layout.parents(name))
