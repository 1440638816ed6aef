"""Which functions of torch act on each number by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from proxies.operators import DROPOUTS

__all__ = ["is_pointwise"]

_UNTAGGED = {
    *("hardswish", "hardswish_", "prelu", "softsign", "tanhshrink", "logsigmoid", "log_sigmoid", "hardshrink"),
    *("contiguous", "float", "double", "half", "bfloat16", "to", "type", "type_as", "detach", "requires_grad"),
    *("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "native_dropout", "bernoulli"),
    *("zeros_like", "ones_like", "rand_like", "randn_like"),
}
"""Functions that torch's operators of that name do not say this of, copies among them."""

_OPERATORS = {
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
}
"""What the functions behind Python's operators are called."""


@cache
def is_pointwise(function: Callable[..., Any]) -> bool:
    """Whether each number of the result comes from the numbers at its place in the arguments, which broadcast.

    Copies and casts do, and dropout; views do not. By the tags of torch's operators and a list of those without.
    """
    if function in DROPOUTS:
        return True
    name: str = getattr(function, "__name__", "")
    if name.startswith("__") and name.endswith("__"):
        name = name.strip("_")
        inner = name[1:] if name[:1] in ("r", "i") and not hasattr(Tensor, name) else name
        name = _OPERATORS.get(inner, inner)
    name = name.rstrip("_")
    if name in _UNTAGGED:
        return True
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return False
    return any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads())
