"""Parameters and FLOPs of the NAS-Bench-201 networks, by the rule that the published values follow.

Both are a constant of the data set plus a constant for each operation of the cell, dead operations counted. The rule is
exact on all cells that NAS-Bench-Suite-Zero lists. Tables that average the recorded runs differ for 204 cells: there,
some of the runs were recorded with the parameters of another cell.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["flops", "parameters"]

_CELLS = 15_625
_CONV1X1, _CONV3X3, _POOL = 2, 3, 4

_BASE = {"c10": (0.073306, 7.943872), "c100": (0.079156, 7.949632), "in16": (0.080456, 1.993792)}
"""Millions of parameters and of FLOPs outside the operations; ImageNet16-120 has a quarter of the pixels."""


@cache
def _counts() -> dict[int, NDArray[np.float64]]:
    codes = np.stack(np.unravel_index(np.arange(_CELLS), (5,) * 6), axis=1)
    return {operation: (codes == operation).sum(axis=1).astype(np.float64) for operation in (_CONV1X1, _CONV3X3, _POOL)}


def parameters(task: str) -> NDArray[np.float64]:
    """Millions of parameters (15625,) in enumeration order; `task` is ``c10``, ``c100`` or ``in16``."""
    count = _counts()
    # Both are whole counts, so a millionth has at most six digits.
    millions: NDArray[np.float64] = np.round(_BASE[task][0] + 0.24304 * count[_CONV3X3] + 0.028 * count[_CONV1X1], 6)
    return millions


def flops(task: str) -> NDArray[np.float64]:
    """Millions of FLOPs (15625,) in enumeration order."""
    count = _counts()
    share = 0.25 if task == "in16" else 1.0
    operations = 35.81952 * count[_CONV3X3] + 4.36224 * count[_CONV1X1] + 1.29024 * count[_POOL]
    millions: NDArray[np.float64] = np.round(_BASE[task][1] + share * operations, 6)
    return millions
