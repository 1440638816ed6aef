"""What needs networks to be built: training-free metrics of any space, and real training.

Importing this package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from po_nas.training.computed import compute_metrics
    from po_nas.training.inputs import inputs_of
    from po_nas.training.live_metrics import LiveMetrics, with_live_metrics
    from po_nas.training.loss import chosen_loss

__all__ = ["LiveMetrics", "chosen_loss", "compute_metrics", "inputs_of", "with_live_metrics"]

_PLACES = {"chosen_loss": "loss", "compute_metrics": "computed", "inputs_of": "inputs"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f"po_nas.training.{_PLACES.get(name, 'live_metrics')}"), name)
    raise AttributeError(f"module 'po_nas.training' has no attribute {name!r}")
