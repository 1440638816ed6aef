"""What messages are made of: values, exceptions and names as short text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["described", "hint", "short", "suggest"]

_WIDTH = 60
"""Characters of a value in a message; with what is around it, a line fits a terminal or nearly so."""


def short(value: object) -> str:
    """The `repr` of a value for a message: its beginning and end where it is long; a `Path` in full."""
    if isinstance(value, Path):
        return repr(str(value))
    try:
        shown = repr(value)
    except Exception as error:
        # A message about a bad value must not fail because of it.
        shown = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 11]} … {shown[-8:]}"


def described(error: BaseException) -> str:
    """The type and text of an exception, whatever its own ``__str__`` does."""
    try:
        text = str(error)
    except Exception as trouble:
        text = f"its text cannot be had, which raises {type(trouble).__name__}"
    return f"{type(error).__name__}: {text}"


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to `name`, or None when nothing is near."""
    lowered = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[matches[0]] if matches else None


def hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """What to do about an unknown `name`: a question about the nearest known one, or `otherwise`."""
    near = suggest(name, known)
    return f"did you mean {near!r}?" if near else otherwise
