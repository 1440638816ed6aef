"""Training-free metrics of any ``torch.nn.Module``."""

from __future__ import annotations

from po_nas.registry import Registry

__all__ = ["names", "register", "registry"]

registry: Registry[object] = Registry("proxy", "po_nas.proxies")
register = registry.register
names = registry.names
