"""Rows of a NAS-Bench-201 table, in the enumeration order of the space: notations of the public files, and sizes.

Parameters and FLOPs are a constant of the data set plus a constant for each operation of the cell, dead operations
counted. The rule is exact on all cells that NAS-Bench-Suite-Zero lists. Tables that average the recorded runs differ
for 204 cells: there, some of the runs were recorded with the parameters of another cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.spaces.cell import NASBench201Space

__all__ = ["CELLS", "arrange", "flops", "parameters", "row_of_string", "row_of_tuple"]

CELLS = 15_625

_SPACE = spaces.get("nasbench201")
_EDGE = (0, 1, 3, 2, 4, 5)
"""Where the edges 0→1, 0→2, 1→2, 0→3, 1→3, 2→3 of the code lie in NASLib's tuple, which is ordered by source."""
_OPERATION = (1, 0, 3, 2, 4)
"""NASLib's operations (skip, none, conv3x3, conv1x1, average pooling) as codes of the space."""


def row_of_string(text: str) -> int:
    """Row of an API string."""
    assert isinstance(_SPACE, NASBench201Space)
    return _SPACE.index(_SPACE.from_string(text))


def row_of_tuple(text: str) -> int:
    """Row of a NASLib tuple written as text, such as ``"(4, 0, 3, 1, 4, 3)"``."""
    operations = [int(v) for v in text.strip("()").split(",")]
    row = 0
    for position in _EDGE:
        row = 5 * row + _OPERATION[operations[position]]
    return row


def arrange(
    rows: Sequence[int] | NDArray[np.int64], values: Sequence[float] | Sequence[str] | NDArray[Any]
) -> NDArray[np.float64]:
    """A (15625,) column with `values` at `rows` and NaN elsewhere."""
    column = np.full(CELLS, np.nan)
    column[np.asarray(rows)] = np.asarray(values, np.float64)
    return column


_CONV1X1, _CONV3X3, _POOL = 2, 3, 4

_BASE = {"c10": (0.073306, 7.943872), "c100": (0.079156, 7.949632), "in16": (0.080456, 1.993792)}
"""Millions of parameters and of FLOPs outside the operations; ImageNet16-120 has a quarter of the pixels."""


@cache
def _counts() -> dict[int, NDArray[np.float64]]:
    codes = np.stack(np.unravel_index(np.arange(CELLS), (5,) * 6), axis=1)
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
