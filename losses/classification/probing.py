"""Looking at a loss without training: its curve over two classes, its steepness, whether all is finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from losses.classification.functions import EPSILON
from losses.classification.program import Program
from po_nas.formula import Call, Node

if TYPE_CHECKING:
    from losses.classification.base import ClassificationLoss

__all__ = ["check", "curve", "points", "steepness"]

F64 = NDArray[np.float64]

_OVERFLOW = 1e30
"""Sums over classes and batches of anything larger may not be finite in single precision."""


def points(count: int = 1000) -> F64:
    """Probabilities of the true one of two classes, from 1 to 0, kept EPSILON from both."""
    return np.clip(np.linspace(1.0, 0.0, count), EPSILON, 1 - EPSILON)


def curve(loss: ClassificationLoss | Program | str | Node, count: int = 1000) -> tuple[F64, F64]:
    """Loss of a sample of two classes over the probability of the true one: p (count,) and values (count,).

    A formula or `Program` is computed as it is, in double precision and without torch; a loss with its sign, scale and
    smoothing.
    """
    p = points(count)
    if isinstance(loss, (Program, str, float, Call)):
        program = loss if isinstance(loss, Program) else Program(loss)
        y, both = np.repeat([1.0, 0.0], count), np.concatenate([p, p[::-1]])
        values = program.values(y, both)
        return p, np.asarray(values[:count] + values[count:], np.float64)
    import torch

    logits = torch.from_numpy(np.log(np.stack([p, p[::-1]], 1)))
    with torch.no_grad():
        values = loss(logits, torch.zeros(count, dtype=torch.int64), reduction="none").numpy()
    return p, np.asarray(values, np.float64)


def steepness(formula: Program | str | Node, classes: int = 10) -> float:
    """Slope after log p of the right class less that of the others where all are predicted alike; -1 of cross-entropy.

    The gradient of the logits is there cross-entropy's times minus this, so a loss must have it below zero: it raises
    the right class and lowers all others (the condition for training in "Effective Regularization Through Loss-Function
    Metalearning", arXiv 2010.00788).
    """
    program = formula if isinstance(formula, Program) else Program(formula)
    p = np.full(2, 1 / classes)
    _, slopes = program.values_and_slopes(np.array([1.0, 0.0]), p)
    return float((slopes[0] - slopes[1]) / classes)


def _probe() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    near = np.logspace(-7, -2, 41)
    p = np.unique(np.concatenate([near, np.linspace(0.01, 0.99, 99), 1 - near]).astype(np.float32))
    p = np.clip(p, np.float32(EPSILON), np.float32(1 - EPSILON))
    targets = np.array([0.0, 1.0, 0.1 / 10, 0.9 + 0.1 / 10], np.float32)
    y, p = np.broadcast_arrays(targets[:, None], p)
    return np.ascontiguousarray(y), np.ascontiguousarray(p)


_Y, _P = _probe()


def check(formula: Program | str | Node) -> str | None:
    """Why values or gradients are not finite in single precision, or None where they are.

    A loss sums a function of one target and one probability over the classes, so looking at that function from 0 to 1,
    for targets of 0 and 1 and smoothed ones, is looking at the whole simplex. A pole between the points that are looked
    at is not seen.
    """
    program = formula if isinstance(formula, Program) else Program(formula)
    values, slopes = program.values_and_slopes(_Y, _P)
    with np.errstate(all="ignore"):
        for what, found in (("value", values), ("gradient", slopes * _P)):
            bad = ~(np.abs(found) < _OVERFLOW)
            if bad.any():
                at = tuple(np.argwhere(bad)[0])
                return f"its {what} is {found[at]:g} at y = {_Y[at]:g}, p = {_P[at]:g}"
    return None
