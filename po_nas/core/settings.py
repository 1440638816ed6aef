"""Reading settings: one YAML file plus ``key=value`` overrides, checked against a pydantic model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from po_nas.errors import ConfigError, RenamedWarning, hint

__all__ = ["Settings", "flat", "read_settings", "read_yaml", "renamed", "validated", "yaml_value"]

# What PyYAML raises besides its own error: for numbers and dates that look like one and are none, for tags of values
# that do not fit, for numbers of thousands of digits, for brackets nested too deeply.
_FAILS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that is there twice: of two values, one would be lost in silence."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node: Any = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen and key.tag != _MERGE:
                    raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
                seen.add((key.tag, key.value))
        return node


_MERGE = "tag:yaml.org,2002:merge"


def yaml_value(text: str, key: str, value: object) -> Any:
    """The value of a YAML text; raises `ConfigError` with `key` and `value` for what is none."""
    try:
        return yaml.load(text, _Loader)
    except _FAILS as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(key, value, f"is not YAML ({problem[:200]})") from error


def read_yaml(path: Path, key: str) -> Any:
    """The value of a YAML file; raises `ConfigError` with `key` and the path when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(key, path, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(key, path, f"is not YAML ({error})") from error
    return yaml_value(text, key, path)


T = TypeVar("T")

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
"""What a key that there is not is called, of a model and of a dataclass."""


def renamed(given: Mapping[str, Any], names: Mapping[str, str], *, warn: bool = True) -> dict[str, Any]:
    """Settings under the names that they have now.

    Args:
        given: Settings by name.
        names: New names by old ones.
        warn: Whether an old name is worth a `RenamedWarning`. It is not in what an earlier version wrote.

    Raises `ConfigError` when a setting is given under both of its names.
    """
    found = dict(given)
    for old, new in names.items():
        if old in found:
            if new in found:
                raise ConfigError(old, found[old], f"is the old name of {new}; give {new} alone")
            if warn:
                warnings.warn(RenamedWarning("option", old, new), stacklevel=3)
            found[new] = found.pop(old)
    return found


class Settings(BaseModel):
    """Settings of which some had other names in the version before; those are still understood, with a warning.

    `deprecated` maps old names of a class's own settings to those they have now.
    """

    deprecated: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def old_names(cls) -> dict[str, str]:
        """New names by old ones, those of base classes included."""
        return {old: new for kind in cls.__mro__ for old, new in vars(kind).get("deprecated", {}).items()}

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        return renamed(given, cls.old_names()) if isinstance(given, Mapping) else given


def read_settings(
    path: Path | None,
    overrides: Sequence[str] = (),
    shorthands: Mapping[str, str] | None = None,
    *,
    named: Mapping[str, tuple[str, ...]] | None = None,
    deprecated: Mapping[str, str] | None = None,
    within: Callable[[dict[str, Any]], dict[str, Any]] = lambda content: content,
) -> dict[str, Any]:
    """Read a YAML file (or nothing) and apply ``key=value`` overrides; values are YAML, nested keys have dots.

    Args:
        path: The file; None for overrides alone.
        overrides: ``key=value`` texts, applied in their order.
        shorthands: With ``{"method": "name"}``, ``method=x`` stands for ``method.name=x``.
        named: Sections among the shorthands whose keys are options of the thing that they name: when another one is
            named, the options go, but for those listed here, which all such things have.
        deprecated: Names that keys of the first level have now, by old ones.
        within: Takes the settings out of what is in the file.

    Raises `ConfigError`.
    """
    shorthands, named, deprecated = shorthands or {}, named or {}, deprecated or {}
    raw: dict[str, Any] = {}
    if path is not None:
        raw = renamed(within(_read_pairs(path)), deprecated)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError("override", override, "write key=value, for example budget=50")
        value = yaml_value(text, key, text) if text else None
        first, *rest = key.split(".")
        (section,) = renamed({first: None}, deprecated)
        _assign(raw, [section, *rest], value, shorthands, named)
    return {
        key: {shorthands[key]: value} if key in shorthands and not isinstance(value, dict) else value
        for key, value in raw.items()
    }


def _read_pairs(path: Path) -> dict[str, Any]:
    raw = read_yaml(path, "config")
    if not isinstance(raw, dict):
        raise ConfigError("config", path, "must hold key: value pairs")
    return raw


def _assign(
    raw: dict[str, Any],
    path: list[str],
    value: Any,
    shorthands: Mapping[str, str],
    named: Mapping[str, tuple[str, ...]],
) -> None:
    *parents, last = path
    node = raw
    for depth, key in enumerate(parents):
        child = node.get(key)
        if child is None:
            child = {}
        elif not isinstance(child, dict):
            if key not in shorthands or depth:
                raise ConfigError(".".join(path), value, f"{key} is {child!r} and has no keys")
            child = {shorthands[key]: child}
        node[key] = child
        node = child
    if not parents and last in shorthands and isinstance(node.get(last), dict) and not isinstance(value, dict):
        shorthand = shorthands[last]
        known = node[last]
        # Another thing of the kind has other options.
        if last in named and known.get(shorthand, value) != value:
            known = {name: known[name] for name in named[last] if name in known}
        node[last] = {**known, shorthand: value}
    else:
        node[last] = value


def validated(
    model: type[T],
    raw: Mapping[str, Any],
    prefix: str = "",
    errors: Mapping[str, type[ConfigError]] | None = None,
) -> T:
    """Validate `raw` against a pydantic model; the first problem becomes a one-line `ConfigError`.

    Args:
        model: The model, or a dataclass whose ``__pydantic_config__`` forbids extra keys.
        raw: Values by key.
        prefix: What is put before keys in messages.
        errors: Subclasses of `ConfigError` to raise for values in the sections of these names.
    """
    try:
        return TypeAdapter(model).validate_python(raw)
    except ValidationError as error:
        problems = error.errors()
        # A misspelt key also makes the right one missing; the misspelling is what the user wants to hear of.
        unknown = [p for p in problems if p["type"] in _UNKNOWN]
        raise _config_error(model, (unknown or problems)[0], prefix, errors or {}) from None


def _config_error(
    model: type[Any], problem: ErrorDetails, prefix: str, errors: Mapping[str, type[ConfigError]]
) -> ConfigError:
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError) and not problem["loc"]:
        return ConfigError(prefix + cause.key, cause.value, cause.remedy)
    key = prefix + ".".join(str(part) for part in problem["loc"])
    value = problem.get("input")
    if problem["type"] in _UNKNOWN:
        known = _fields(model, [str(part) for part in problem["loc"][:-1]])
        last = str(problem["loc"][-1])
        remedy = hint(last, known, f"known keys: {', '.join(known) or 'none'}")
        return ConfigError(key, value, f"unknown key; {remedy}")
    if problem["type"] == "missing":
        field = getattr(model, "model_fields", {}).get(key)
        description = None if field is None else field.description
        return ConfigError(key, "", f"is required: {description}" if description else "is required")
    kind = errors.get(str(problem["loc"][0]), ConfigError) if problem["loc"] else ConfigError
    return kind(key, value, problem["msg"][0].lower() + problem["msg"][1:])


def _fields(model: type[Any], path: list[str]) -> list[str]:
    if is_dataclass(model):
        return [field.name for field in fields(model)]
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        # A section that may be left out is a union with None.
        kinds = [k for k in (annotation, *get_args(annotation)) if isinstance(k, type) and issubclass(k, BaseModel)]
        if not kinds:
            break
        model = kinds[0]
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
