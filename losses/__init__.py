"""Losses that performance predictors are trained under."""

from __future__ import annotations

from po_nas.registry import Registry

__all__ = ["names", "register", "registry"]

registry: Registry[object] = Registry("loss", "po_nas.losses")
register = registry.register
names = registry.names
