"""Conformance kits: pytest base classes that a plug-in author subclasses.

They are imported on first use, because they need pytest and hypothesis (``pip install 'po-nas[testing]'``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from po_nas.registry import lazy

if TYPE_CHECKING:
    from po_nas.testing.executors import ExecutorConformance
    from po_nas.testing.losses import ClassificationLossConformance, LossConformance
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

__getattr__ = lazy(
    __name__,
    executors="ExecutorConformance",
    losses="ClassificationLossConformance LossConformance",
    proxies="ProxyConformance",
    searchers="SearcherConformance ToyObjective",
    spaces="SpaceConformance",
    surrogates="SurrogateConformance",
)
