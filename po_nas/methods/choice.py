"""What methods with a model do with its values, and with failed evaluations before that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["failures_as_worst", "highest"]

_EQUAL = 1e-9


def failures_as_worst(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n,), higher is better, those that are not finite replaced by the lowest that is."""
    finite = np.isfinite(scores)
    return np.where(finite, scores, scores[finite].min())


def highest(values: NDArray[np.float64], rng: np.random.Generator) -> int | None:
    """Place of the highest finite value of (m,), None when there is none.

    Equal values are frequent (isomorphic cells); a random one of them keeps the choice free of the enumeration.
    """
    if not np.isfinite(values).any():
        return None
    values = np.where(np.isfinite(values), values, -np.inf)
    return int(rng.choice(np.flatnonzero(values >= values.max() - _EQUAL)))
