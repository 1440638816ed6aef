"""The array functions that formulas need, of NumPy and SciPy, and how such a namespace is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

__all__ = ["NUMPY", "namespace"]

_ALIKE = "abs arcsinh arctan cos cosh exp hypot log log10 log1p maximum minimum sign sin sinh sqrt tanh where"
_SPECIAL = "erf erfc i0 i0e i1 i1e"


def namespace(library: Any, special: Any, **own: Any) -> SimpleNamespace:
    """What `library` and `special` call by the names that all libraries use, and `own`, which each has to bring."""
    found = {name: getattr(library, name) for name in _ALIKE.split()}
    found |= {name: getattr(special, name) for name in _SPECIAL.split()}
    return SimpleNamespace(**found, sigmoid=special.expit, **own)


def _step(x: Any) -> Any:
    return (x > 0).astype(x.dtype)


NUMPY = namespace(
    np,
    special,
    at_least=np.maximum,
    at_most=np.minimum,
    number=lambda value, like: like.dtype.type(value),
    step=_step,
)
"""Works on arrays of one floating dtype, and keeps it."""
