"""The first check: what a loss says of two classes, as a curve over the probability of the true one.

Reference: Morgan and Hougen, arXiv 2403.08793, as their published code does it: no extremum at one half, and monotone
or with a single turning point. Added here: the minimum must lie where the true class is the more probable one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from losses.classification import EPSILON, Program

__all__ = ["POINTS", "REASONS", "curve", "judge", "normalised"]

F64 = NDArray[np.float64]

POINTS = 1000
_MIDDLE = slice(490, 510)
_PLATEAU = 10
_FLAT = 1e-4
REASONS = ("", "not finite", "extremum at one half", "constant", "plateau", "oscillates", "rewards the wrong class")
"""What `judge` finds, by number; nothing is wrong with the first."""

_P = np.clip(np.linspace(1.0, 0.0, POINTS), EPSILON, 1 - EPSILON)
_BOTH = np.concatenate([_P, _P[::-1]])
_Y = np.repeat([1.0, 0.0], POINTS)


def curve(program: Program) -> F64:
    """(1000,) unsigned values f(1, p) + f(0, 1 - p), p from 1 to 0."""
    with np.errstate(all="ignore"):
        found = program.values(_Y, _BOTH)
        return np.asarray(found[:POINTS] + found[POINTS:])


def judge(curves: F64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of (n, 1000) unsigned curves: numbers of `REASONS` (n,), and the sign (n,) that makes each a loss, 1 or -1."""
    n = len(curves)
    reason, sign = np.zeros(n, np.int64), np.ones(n, np.int64)
    finite = np.isfinite(curves).all(1)
    reason[~finite] = REASONS.index("not finite")
    rows = np.flatnonzero(finite)
    if not len(rows):
        return reason, sign
    c = curves[rows]
    steps = np.sign(np.diff(c, axis=1)).astype(np.int8)
    zeros = (steps == 0).sum(1)
    rising, falling = (steps > 0).all(1), (steps < 0).all(1)
    middle = [((at >= _MIDDLE.start) & (at < _MIDDLE.stop)) for at in (c.argmin(1), c.argmax(1))]
    filled = _filled(steps)
    turns = (filled != np.roll(filled, 1, axis=1)).sum(1)
    kinds = (
        (zeros == steps.shape[1], "constant"),
        (middle[0] | middle[1], "extremum at one half"),
        (~(rising | falling) & (zeros > _PLATEAU), "plateau"),
        (~(rising | falling) & (turns > 2), "oscillates"),
    )
    found = np.zeros(len(rows), np.int64)
    for wrong, name in kinds:
        found[(found == 0) & wrong] = REASONS.index(name)
    # A loss rises as the true class loses probability; one with an optimum inside falls first.
    flip = np.where(rising | falling, falling, filled[:, 2] > 0)
    direction = np.where(flip, -1, 1)
    lowest = np.where(flip, c.argmax(1), c.argmin(1))
    found[(found == 0) & (lowest >= _MIDDLE.start)] = REASONS.index("rewards the wrong class")
    reason[rows], sign[rows] = found, direction
    return reason, sign


def _filled(steps: NDArray[np.int8]) -> NDArray[np.int8]:
    """Signs with every zero replaced by the sign before it, and by the next one at the beginning."""
    place = np.where(steps != 0, np.arange(steps.shape[1]), -1)
    last = np.maximum.accumulate(place, axis=1)
    first = np.argmax(steps != 0, axis=1)
    last = np.where(last < 0, first[:, None], last)
    return np.asarray(np.take_along_axis(steps, last, axis=1))


def normalised(curves: F64) -> F64:
    """(n, m) values brought to 0 to 1 row by row; rows with hardly any range are left as they are."""
    low, high = curves.min(1, keepdims=True), curves.max(1, keepdims=True)
    span = high - low
    return np.where(span < _FLAT, curves, (curves - low) / np.where(span < _FLAT, 1.0, span))
