"""The configuration of a search: one YAML file plus ``key=value`` overrides, checked before anything is spent."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)
from pydantic_core import ErrorDetails

from po_nas.core.budget import Budget
from po_nas.errors import BudgetError, ConfigError

__all__ = ["ExecutorConfig", "MethodConfig", "SearchConfig", "flat", "load_config", "validated"]

M = TypeVar("M", bound=BaseModel)


class MethodConfig(BaseModel):
    """A method's registered name; every further key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def options(self) -> dict[str, Any]:
        """The method's own options as given."""
        return dict(self.model_extra or {})


class ExecutorConfig(BaseModel):
    """Where evaluations run. `timeout_s` bounds one evaluation in real seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = "inline"
    timeout_s: Annotated[float, Field(gt=0, le=threading.TIMEOUT_MAX)] | None = None


_Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""One name may be given without brackets: ``tracking=tensorboard``."""


class SearchConfig(BaseModel):
    """Everything that determines a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str = Field(description="registered benchmark, such as nasbench201/cifar10")
    method: MethodConfig = Field(description="registered method; its options as method.<option>")
    budget: Budget = Field(description="number of evaluations, or budget.max_cost_s, budget.max_wallclock_s")
    seed: NonNegativeInt = Field(0, description="seed of everything random in the search")
    feedback: str | None = Field(None, description="what the method is told; default: the benchmark's first preset")
    batch: PositiveInt = Field(1, description="trials evaluated at a time: batch size, or workers of an executor")
    executor: ExecutorConfig = Field(ExecutorConfig(), description="where evaluations run")
    tracking: _Names = Field((), description="callbacks by name, such as tensorboard")
    plugins: _Names = Field((), description="Python files or modules to import first")


_SHORTHANDS = {"method": "name", "executor": "name", "budget": "max_evaluations"}
"""``method=gp_bo`` stands for ``method.name=gp_bo``, and so on."""


def load_config(path: Path | None, overrides: Sequence[str] = (), *, plugins: Sequence[str] = ()) -> SearchConfig:
    """Read a YAML file (or nothing) and apply ``key=value`` overrides; values are YAML, nested keys have dots.

    Raises `ConfigError` that names the key, the value and the nearest valid choice.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        raw = _read_yaml(path)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError("override", override, "write key=value, for example budget=50")
        try:
            value = yaml.safe_load(text) if text else None
        except yaml.YAMLError as error:
            raise ConfigError(key, text, f"not a YAML value ({_first_line(error)})") from error
        _assign(raw, key.split("."), value)
    given = raw.get("plugins") or []
    given = [given] if isinstance(given, str) else given
    if isinstance(given, list):
        # Absolute, so that the run can be resumed from anywhere.
        raw["plugins"] = [_absolute(plugin) for plugin in (*given, *plugins)]
    return validated(SearchConfig, _expand(raw))


def _absolute(plugin: Any) -> Any:
    return str(Path(plugin).resolve()) if isinstance(plugin, str) and plugin.endswith(".py") else plugin


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("config", str(path), f"cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("config", str(path), f"is not YAML ({_first_line(error)})") from error
    if not isinstance(raw, dict):
        raise ConfigError("config", str(path), "must hold key: value pairs")
    # The record of a run holds its configuration in a section of its own.
    return raw["search"] if isinstance(raw.get("search"), dict) and "versions" in raw else raw


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _expand(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {_SHORTHANDS[key]: value} if key in _SHORTHANDS and not isinstance(value, dict) else value
        for key, value in raw.items()
    }


def _assign(raw: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    node = raw
    for depth, key in enumerate(parents):
        child = node.get(key)
        if child is None:
            child = {}
        elif not isinstance(child, dict):
            if key not in _SHORTHANDS or depth:
                raise ConfigError(".".join(path), value, f"{key} is {child!r} and has no keys")
            child = {_SHORTHANDS[key]: child}
        node[key] = child
        node = child
    if not parents and last in _SHORTHANDS and isinstance(node.get(last), dict) and not isinstance(value, dict):
        shorthand = _SHORTHANDS[last]
        # Another method has other options; all else is kept.
        other = last == "method" and node[last].get(shorthand, value) != value
        node[last] = {shorthand: value} if other else {**node[last], shorthand: value}
    else:
        node[last] = value


def validated(model: type[M], raw: Mapping[str, Any], prefix: str = "") -> M:
    """Validate `raw` against a pydantic model; the first problem becomes a one-line `ConfigError`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = error.errors()
        # A misspelt key also makes the right one missing; the misspelling is what the user wants to hear of.
        unknown = [p for p in problems if p["type"] == "extra_forbidden"]
        raise _config_error(model, (unknown or problems)[0], prefix) from None


def _config_error(model: type[BaseModel], problem: ErrorDetails, prefix: str) -> ConfigError:
    key = prefix + ".".join(str(part) for part in problem["loc"])
    value = problem.get("input")
    if problem["type"] == "extra_forbidden":
        known = _fields(model, [str(part) for part in problem["loc"][:-1]])
        last = str(problem["loc"][-1])
        near = difflib.get_close_matches(last, known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known) or 'none'}"
        return ConfigError(key, value, f"unknown key; {remedy}")
    if problem["type"] == "missing":
        description = model.model_fields[key].description if key in model.model_fields else None
        return ConfigError(key, "", f"is required: {description}" if description else "is required")
    kind = BudgetError if key.startswith("budget") else ConfigError
    return kind(key, value, problem["msg"][0].lower() + problem["msg"][1:])


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as ``key.sub: value`` pairs, what is not set left out."""
    pairs: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            pairs |= flat(value, f"{prefix}{key}.")
        elif value not in (None, [], ()):
            pairs[prefix + key] = value
    return pairs
