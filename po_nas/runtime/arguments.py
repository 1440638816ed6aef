"""What callers of `po_nas.search`, `po_nas.resume` and `po_nas.Session` may give, checked before anything is done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from po_nas.errors import ConfigError
from po_nas.runtime.callbacks import Callback

__all__ = ["checked_callbacks", "checked_functions", "checked_mapping", "checked_path", "checked_paths", "whole_number"]


def checked_path(key: str, value: object) -> Path:
    """A path, absolute, ``~`` replaced; `ConfigError` for what is none."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ConfigError(key, value, "must be the path of a directory")
    text = os.fsdecode(value)
    if "\0" in text:
        raise ConfigError(key, value, "holds a zero byte, which no path may")
    path = Path(text).expanduser().absolute()
    try:
        path.exists()
    except OSError as error:
        raise ConfigError(key, value, f"cannot be looked at ({error.strerror}); choose another") from error
    return path


def checked_paths(key: str, value: object) -> list[str]:
    """Paths of directories as texts, from one or several; `ConfigError` for what is none."""
    given = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(given, Sequence) or not all(isinstance(path, str | os.PathLike) for path in given):
        raise ConfigError(key, value, "must be the directory of a run, or a list of several")
    return [os.fsdecode(path) for path in given]


def checked_callbacks(value: object) -> tuple[Callback, ...]:
    """Callbacks; `ConfigError` unless they are instances of subclasses of `Callback`, in a list or tuple."""
    if not isinstance(value, Sequence):
        raise ConfigError("callbacks", value, "must be a list of callbacks")
    for one in value:
        if not isinstance(one, Callback):
            raise ConfigError("callbacks", one, "is no instance of a subclass of po_nas.Callback")
    return tuple(value)


def checked_mapping(key: str, value: object) -> dict[str, Any]:
    """A mapping as a dict, empty for None; `ConfigError` for anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, "must be a dict of settings")
    return dict(value)


def checked_functions(key: str, value: object) -> dict[str, Any]:
    """Functions by name, as `checked_mapping`."""
    found = checked_mapping(key, value)
    for name, function in found.items():
        if not callable(function):
            raise ConfigError(f"{key}.{name}", function, "must be a function of a configuration")
    return found


def whole_number(value: object) -> object:
    """A whole number of any type, such as numpy's, as an int; anything else as it is."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value
