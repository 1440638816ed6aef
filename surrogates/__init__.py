"""Models that predict the performance of an architecture from its encoding."""

from __future__ import annotations

from po_nas.registry import Registry

__all__ = ["names", "register", "registry"]

registry: Registry[object] = Registry("surrogate", "po_nas.surrogates")
register = registry.register
names = registry.names
