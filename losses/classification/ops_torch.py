"""The array functions that formulas need, of torch."""

from __future__ import annotations

import torch
from torch import Tensor

from losses.classification.ops_numpy import namespace

__all__ = ["TORCH"]


def _number(value: float, like: Tensor) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)


def _step(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)


TORCH = namespace(torch, torch.special, at_least=torch.clamp_min, at_most=torch.clamp_max, number=_number, step=_step)
"""Works on tensors of one floating dtype and device."""
