"""Checks that the options of all networks share."""

from __future__ import annotations

from po_nas.errors import ConfigError, UnknownNameError

__all__ = ["known", "positive"]


def positive(**values: object) -> None:
    """`ConfigError` unless every value is an integer of at least one."""
    for name, value in values.items():
        if type(value) is not int or value < 1:
            raise ConfigError(name, value, "must be an integer of at least 1")


def known(kind: str, name: str, names: tuple[str, ...]) -> None:
    """`UnknownNameError` with the nearest name unless `name` is one of `names`."""
    if name not in names:
        raise UnknownNameError(kind, name, names)
