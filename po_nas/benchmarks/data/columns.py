"""Columns on their way from a public file to a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Read", "numbers", "without_failures"]

Read = Callable[[str], bytes]
"""Gives a converter the checked bytes of a public file by its registered name."""

_FAILED = -1e8
"""What NAS-Bench-Suite-Zero wrote where a score could not be computed."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `values` is a (n,) float64 or integer array, or n strings.

    `role` is ``id``, ``search`` (a method may see it), ``report`` (for the reader only), ``train``, ``proxy``,
    ``cost`` or ``hardware``; `unit` is empty for plain scores.
    """

    name: str
    values: NDArray[np.float64] | NDArray[np.int64] | Sequence[str]
    role: str
    unit: str = ""


def numbers(name: str, values: Sequence[float] | NDArray[np.float64], role: str, unit: str = "") -> Column:
    """A float64 column; NaN where a number is missing."""
    return Column(name, np.asarray(values, np.float64), role, unit)


def without_failures(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the upstream failure marker and infinities by NaN; such a row ranks last, it is not dropped."""
    return np.where((values == _FAILED) | np.isinf(values), np.nan, values)
