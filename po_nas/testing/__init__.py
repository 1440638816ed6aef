"""Conformance kits: pytest base classes that a plug-in author subclasses.

They are imported on first use, because they need pytest and hypothesis (``pip install 'po-nas[dev]'``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from po_nas.testing.classification_losses import ClassificationLossConformance
    from po_nas.testing.executors import ExecutorConformance
    from po_nas.testing.losses import LossConformance
    from po_nas.testing.proxies import ProxyConformance
    from po_nas.testing.searchers import SearcherConformance, ToyObjective
    from po_nas.testing.spaces import SpaceConformance
    from po_nas.testing.surrogates import SurrogateConformance

__all__ = [
    "ClassificationLossConformance",
    "ExecutorConformance",
    "LossConformance",
    "ProxyConformance",
    "SearcherConformance",
    "SpaceConformance",
    "SurrogateConformance",
    "ToyObjective",
]

_MODULES = {
    "ClassificationLossConformance": "po_nas.testing.classification_losses",
    "ExecutorConformance": "po_nas.testing.executors",
    "LossConformance": "po_nas.testing.losses",
    "ProxyConformance": "po_nas.testing.proxies",
    "SearcherConformance": "po_nas.testing.searchers",
    "SpaceConformance": "po_nas.testing.spaces",
    "SurrogateConformance": "po_nas.testing.surrogates",
    "ToyObjective": "po_nas.testing.searchers",
}


def __getattr__(name: str) -> Any:
    """Import a kit; `MissingExtraError` when pytest or hypothesis is absent."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
