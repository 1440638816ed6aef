"""The array functions that formulas need, of torch."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

__all__ = ["TORCH"]


def _number(value: float, like: Tensor) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)


def _step(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)


TORCH = SimpleNamespace(
    abs=torch.abs,
    arcsinh=torch.asinh,
    arctan=torch.atan,
    at_least=torch.clamp_min,
    at_most=torch.clamp_max,
    cos=torch.cos,
    cosh=torch.cosh,
    erf=torch.erf,
    erfc=torch.erfc,
    exp=torch.exp,
    hypot=torch.hypot,
    i0=torch.special.i0,
    i0e=torch.special.i0e,
    i1=torch.special.i1,
    i1e=torch.special.i1e,
    log10=torch.log10,
    log1p=torch.log1p,
    log=torch.log,
    maximum=torch.maximum,
    minimum=torch.minimum,
    number=_number,
    sigmoid=torch.sigmoid,
    sign=torch.sign,
    sin=torch.sin,
    sinh=torch.sinh,
    sqrt=torch.sqrt,
    step=_step,
    tanh=torch.tanh,
    where=torch.where,
)
"""Works on tensors of one floating dtype and device."""
