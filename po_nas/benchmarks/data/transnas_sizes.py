"""Parameters and FLOPs of TransNAS-Bench-101 networks, completed from those that NAS-Bench-Suite-Zero listed.

Both are sums: over (edge, operation) for a micro cell, and for a macro network over its modules, each of which
depends on its kind, on how often channels were doubled and on how often resolution was halved before it, plus a head
that depends on the final counts. Least squares on the listed networks therefore recovers every network whose
features lie in the span of theirs, exactly; the others stay NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

__all__ = ["complete", "features"]

_HALVES, _DOUBLES = (3, 4), (2, 4)
"""Macro module kinds that halve the resolution, and those that double the channels."""


def features(space: str, operations: Sequence[int]) -> Counter[Hashable]:
    """How often each additive part occurs in a network; `space` is ``micro`` or ``macro``."""
    if space == "micro":
        return Counter(enumerate(operations))
    parts: Counter[Hashable] = Counter()
    halved = doubled = 0
    for kind in operations:
        parts["module", kind, halved, doubled] += 1
        halved += kind in _HALVES
        doubled += kind in _DOUBLES
    parts["head", halved, doubled] += 1
    return parts


def complete(
    listed: Sequence[Counter[Hashable]], values: NDArray[np.float64], wanted: Sequence[Counter[Hashable]]
) -> NDArray[np.float64]:
    """Values (n, q) of the `wanted` networks in millions, from the (m, q) of the `listed`; NaN where undetermined."""
    names: dict[Hashable, int] = {}
    for parts in [*listed, *wanted]:
        for part in parts:
            names.setdefault(part, len(names))
    known, asked = (np.zeros((len(rows), len(names))) for rows in (listed, wanted))
    for matrix, rows in ((known, listed), (asked, wanted)):
        for row, parts in enumerate(rows):
            for part, count in parts.items():
                matrix[row, names[part]] = count
    # On a busy machine a second thread makes matrices of this size many times slower.
    with threadpool_limits(1):
        solution, _, rank, _ = np.linalg.lstsq(known, values, rcond=None)
        null = np.linalg.svd(np.linalg.qr(known, mode="r"))[2][rank:]
    determined = np.abs(asked @ null.T).max(axis=1, initial=0.0) < 1e-8
    # A count of parameters or operations is whole: six digits of a million.
    return np.where(determined[:, None], np.round(asked @ solution, 6), np.nan)
