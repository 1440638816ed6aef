"""Losses as hyper-parameters of other losses."""

from __future__ import annotations

from collections.abc import Mapping

from losses.base import Loss
from po_nas.errors import ConfigError

__all__ = ["as_loss"]


def as_loss(key: str, value: object) -> Loss:
    """A loss given as such, by name, or as a mapping with a `name` and hyper-parameters, as in a file."""
    import losses

    if isinstance(value, Loss):
        return value
    if isinstance(value, str):
        return losses.get(value)
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return losses.get(value["name"], **{k: v for k, v in value.items() if k != "name"})
    raise ConfigError(key, value, "must be the name of a loss, a mapping with its name, or a loss")
