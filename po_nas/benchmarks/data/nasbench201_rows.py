"""Rows of a NAS-Bench-201 table: the enumeration order of the space, from the notations of the public files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.spaces.nasbench201 import NASBench201Space

__all__ = ["CELLS", "arrange", "row_of_string", "row_of_tuple"]

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
