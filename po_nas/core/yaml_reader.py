"""The one reader of YAML: values, and files of key: value pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from po_nas.errors import ConfigError

__all__ = ["read_yaml", "yaml_value"]

# What PyYAML raises besides its own error: for numbers and dates that look like one and are none, for tags of values
# that do not fit, for numbers of thousands of digits, for brackets nested too deeply.
_FAILS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def yaml_value(text: str, key: str, value: object) -> Any:
    """The value of a YAML text; raises `ConfigError` with `key` and `value` for what is none."""
    try:
        return yaml.safe_load(text)
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
