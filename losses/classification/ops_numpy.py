"""The array functions that formulas need, of NumPy and SciPy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

__all__ = ["NUMPY"]


def _step(x: Any) -> Any:
    return (x > 0).astype(x.dtype)


NUMPY = SimpleNamespace(
    abs=np.abs,
    arcsinh=np.arcsinh,
    arctan=np.arctan,
    at_least=np.maximum,
    at_most=np.minimum,
    cos=np.cos,
    cosh=np.cosh,
    erf=special.erf,
    erfc=special.erfc,
    exp=np.exp,
    hypot=np.hypot,
    i0=special.i0,
    i0e=special.i0e,
    i1=special.i1,
    i1e=special.i1e,
    log10=np.log10,
    log1p=np.log1p,
    log=np.log,
    maximum=np.maximum,
    minimum=np.minimum,
    number=lambda value, like: like.dtype.type(value),
    sigmoid=special.expit,
    sign=np.sign,
    sin=np.sin,
    sinh=np.sinh,
    sqrt=np.sqrt,
    step=_step,
    tanh=np.tanh,
    where=np.where,
)
"""Works on arrays of one floating dtype, and keeps it."""
