"""What callers of `po_nas.search`, `po_nas.resume` and `po_nas.Session` may give, checked before anything is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from po_nas import methods
from po_nas.core.goals import SIGNAL, Metric
from po_nas.core.searcher import Searcher
from po_nas.errors import ConfigError
from po_nas.runtime.callbacks import Callback
from po_nas.runtime.config import direction_of

__all__ = [
    "Method",
    "checked_callbacks",
    "checked_functions",
    "checked_mapping",
    "checked_path",
    "common_settings",
    "method_settings",
    "metric_of",
]


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


def _checked_paths(key: str, value: object) -> list[str]:
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


def metric_of(metric: str, maximize: bool, objectives: Mapping[str, str] | None) -> Metric:
    """What a function or a session is searched for by; `objectives` have the last word on its direction."""
    if not isinstance(metric, str) or not metric:
        raise ConfigError("metric", metric, "must be a name")
    if not isinstance(maximize, bool):
        raise ConfigError("maximize", maximize, "must be True or False")
    said = dict(objectives).get(SIGNAL, dict(objectives).get(metric)) if isinstance(objectives, Mapping) else None
    return Metric(metric, "", maximize if said is None else direction_of(said) == "max")


def _plain(value: object) -> object:
    """Numbers of numpy as those of Python, in dicts and lists too; anything else as it is."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _listed(fidelities: Iterable[float]) -> list[float]:
    try:
        return list(fidelities)
    except TypeError:
        remedy = "must be a list of numbers, such as [1, 3, 9, 27]"
        raise ConfigError("fidelities", fidelities, remedy) from None


Method: TypeAlias = str | Mapping[str, Any] | type[Searcher] | Searcher
"""A method by its name, with its options, or as a class or instance."""


def common_settings(
    method: Mapping[str, Any],
    budget: int | Mapping[str, Any],
    seed: int,
    objectives: Mapping[str, str] | None,
    constraints: Mapping[str, str] | None,
    fidelities: Sequence[float] | Mapping[str, Any],
    warm_start: str | Path | Sequence[str | Path],
    **proxies: Sequence[str] | Mapping[str, Any],
) -> dict[str, Any]:
    """What a search and a session are configured by alike, from their arguments; `proxies` by the key they go by."""
    return {
        "method": _plain(method),
        "budget": _plain(budget if isinstance(budget, Mapping) else {"max_evaluations": budget}),
        "seed": _plain(seed),
        **{key: _plain(v if isinstance(v, Mapping) else {"compute": v}) for key, v in proxies.items()},
        "objectives": {} if objectives is None else _plain(objectives),
        "constraints": {} if constraints is None else _plain(constraints),
        "fidelities": _plain(fidelities if isinstance(fidelities, Mapping) else _listed(fidelities)),
        "warm_start": _checked_paths("warm_start", warm_start),
    }


def method_settings(method: Method) -> tuple[dict[str, Any], type[Searcher] | None]:
    """The settings of a method, and its class where one was given."""
    if isinstance(method, str):
        return {"name": method}, None
    if isinstance(method, Mapping):
        return dict(method), None
    if not isinstance(method, type | Searcher):
        raise ConfigError("method", method, "is no method; give a name, or a subclass of Searcher")
    options = {} if isinstance(method, type) else method.options.model_dump(mode="json", exclude_unset=True)
    kind = method if isinstance(method, type) else type(method)
    if not issubclass(kind, Searcher):
        raise ConfigError("method", kind.__qualname__, "is no Searcher; give a name, or a subclass")
    return {"name": methods.name_of(kind) or f"{kind.__module__}.{kind.__qualname__}", **options}, kind
