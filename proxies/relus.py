"""Which functions are ReLUs or open exactly where a ReLU does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from proxies.operators import Call

__all__ = ["PLAIN", "is_relu"]

PLAIN: frozenset[Callable[..., Any]] = frozenset({functional.relu, torch.relu, Tensor.relu})
"""ReLU itself, not in place unless its second argument says so."""

_ALWAYS = PLAIN | {
    *(torch.relu_, Tensor.relu_, functional.relu_, functional.relu6, functional.prelu, functional.rrelu),
    *(functional.rrelu_, functional.leaky_relu, functional.leaky_relu_, torch.prelu, Tensor.prelu),
}
_LOWER: dict[Callable[..., Any], tuple[int, str, int, str]] = {
    **dict.fromkeys((functional.hardtanh, functional.hardtanh_), (1, "min_val", 2, "max_val")),
    **dict.fromkeys(
        (torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, torch.clip_, Tensor.clip, Tensor.clip_),
        (1, "min", 2, "max"),
    ),
    **dict.fromkeys((torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_), (1, "min", 9, "")),
    **dict.fromkeys((functional.threshold, torch.threshold, torch.threshold_), (1, "threshold", 2, "value")),
}
"""Functions with a lower bound, with the positions and names of the bounds."""


def is_relu(call: Call) -> bool:
    """Whether the output of a call is positive exactly where its input is."""
    if call.function in _ALWAYS:
        return True
    bounds = _LOWER.get(call.function)
    if bounds is None:
        return False
    low, high = call.get(bounds[0], bounds[1]), call.get(bounds[2], bounds[3])
    if isinstance(low, Tensor) or isinstance(high, Tensor) or low != 0:
        return False
    threshold = call.function in (functional.threshold, torch.threshold, torch.threshold_)
    return high == 0 if threshold else high is None or high > 0
