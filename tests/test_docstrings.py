"""Docstrings of what the four packages export: complete, and their examples run."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import textwrap
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import pytest

PACKAGES = ("po_nas", "proxies", "losses", "surrogates")
EXPORTED = [(package, name) for package in PACKAGES for name in importlib.import_module(package).__all__]
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Examples):$", re.MULTILINE)
NO_SECTIONS = {("po_nas", "__version__"), ("proxies", "PASSES"), ("po_nas", "PoNasError")}
"""Data, and what is caught rather than called."""


def exported(package: str, name: str) -> Any:
    return getattr(importlib.import_module(package), name)


def documented(package: str, name: str) -> tuple[Any, str]:
    """The object, and its docstring; of an instance (a registry) that of its class."""
    thing = exported(package, name)
    return thing, inspect.getdoc(thing) or ""


def sections(text: str) -> dict[str, str]:
    """The sections of a docstring by name, and what comes before under ``""``."""
    first, *rest = SECTION.split(text)
    return {"": first} | dict(zip(rest[::2], map(textwrap.dedent, rest[1::2]), strict=True))


def entries(section: str) -> set[str]:
    """Names that a section explains."""
    return {name.strip() for line in re.findall(r"^(\S.*?):", section, re.MULTILINE) for name in line.split(",")}


def parameters(thing: Any) -> set[str]:
    """What a caller gives: the arguments of a function or class, by name."""
    if inspect.isclass(thing):
        if is_dataclass(thing):
            return {f.name for f in fields(thing) if f.init}
        if issubclass(thing, tuple):
            return set(thing._fields)
        if "__init__" not in vars(thing) and not any("__init__" in vars(k) for k in thing.__mro__ if own(k)):
            return set()
    elif not callable(thing):
        return parameters(type(thing))
    return {p.name for p in inspect.signature(thing).parameters.values()}


def own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in PACKAGES


def raised(thing: Any) -> set[str]:
    """Names of the errors that the body of a function raises itself."""
    if not inspect.isfunction(thing):
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def problems(thing: Any, text: str) -> list[str]:
    """What a docstring lacks."""
    parts = sections(text)
    summary = parts[""].strip().partition("\n\n")[0]
    found = [] if re.search(r"[.:]$", summary) else ["its first paragraph is no sentence"]
    told = entries(parts.get("Args", "")) | entries(parts.get("Attributes", ""))
    found += [f"{name} is not explained" for name in sorted(parameters(thing) - told)]
    returns = inspect.signature(thing).return_annotation if inspect.isroutine(thing) else None
    if returns not in (None, "None") and "Returns" not in parts:
        found.append("it does not say what it returns")
    found += [f"it does not say that it raises {e}" for e in sorted(raised(thing) - entries(parts.get("Raises", "")))]
    if ">>>" not in parts.get("Examples", ""):
        found.append("it has no example")
    return found


@pytest.mark.parametrize(("package", "name"), [e for e in EXPORTED if e not in NO_SECTIONS])
def test_docstrings_are_complete(package, name):
    thing, text = documented(package, name)
    if isinstance(thing, ModuleType):
        assert text.partition("\n")[0].endswith(".")
    else:
        assert problems(thing, text) == []


@pytest.mark.parametrize(("package", "name"), EXPORTED)
def test_examples_run(package, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    thing, text = documented(package, name)
    if isinstance(thing, ModuleType):
        return
    example = doctest.DocTestParser().get_doctest(text, {}, f"{package}.{name}", None, 0)
    said: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_is_there_and_listed(package):
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    assert set(module.__all__) <= set(dir(module)) | {"__version__"} | set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


def good(x: int, *, y: int = 0) -> int:
    """The sum.

    Args:
        x: A number.
        y: Another one.

    Returns:
        The sum.

    Raises:
        ValueError: For negative numbers.

    Examples:
        >>> good(1)
        1
    """
    if x < 0:
        raise ValueError("negative")
    return x + y


@pytest.mark.parametrize(
    ("cut", "problem"),
    [
        ("The sum.\n\n", "its first paragraph is no sentence"),
        ("    y: Another one.\n", "y is not explained"),
        ("Returns:\n    The sum.\n", "it does not say what it returns"),
        ("    ValueError: For negative numbers.\n", "it does not say that it raises ValueError"),
        ("    >>> good(1)\n", "it has no example"),
    ],
)
def test_the_checker_sees_what_is_missing(cut, problem):
    text = inspect.getdoc(good)
    assert problems(good, text) == []
    assert cut in text
    assert problem in problems(good, text.replace(cut, "", 1))
