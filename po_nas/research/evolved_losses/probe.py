"""Checks of a loss of ten classes: finite, right at the top, wrong at the bottom, with gradients that pull the true
class up, by which free predictions become right.

The prediction is a softmax of logits z, so the gradient of L = Σ f(y_c, p_c) is ∂L/∂z_c = p_c (f'_c - Σ p_k f'_k).
Reference for the condition at equal probabilities: Gonzalez and Miikkulainen, arXiv 2002.00059 (TaylorGLO's theory).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from losses.classification import EPSILON, Program, check, steepness

__all__ = ["CLASSES", "GAIN", "GRADIENT_REASONS", "PROBE_REASONS", "Probed", "gain", "gradients", "probe"]

F64 = NDArray[np.float64]
CLASSES = 10
_RIGHT = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_WRONG = ((0.05, 0.5), (0.02, 0.8), (0.01, 0.9))
"""Probabilities of the true and of one wrong class."""
_SCALES = (1e-3, 1e3)
GAIN = 0.6
"""Share of what there is to gain by `gain` that a loss must gain."""
_SAMPLES, _STEPS, _RATE = 100, 25, 0.3
PROBE_REASONS = ("", "not finite", "prefers the wrong class")
GRADIENT_REASONS = ("", "gradient not finite", "does not raise the true class", "flat or steep")


def _spread(true: float, wrong: float | None = None) -> list[float]:
    """The true class first, then perhaps a wrong one; the others share what is left."""
    given = [true] if wrong is None else [true, wrong]
    return given + [(1 - sum(given)) / (CLASSES - len(given))] * (CLASSES - len(given))


def _points() -> F64:
    rng = np.random.default_rng(20240313)
    fixed = [_spread(1 / CLASSES), *(_spread(p) for p in _RIGHT), *(_spread(t, w) for t, w in _WRONG)]
    drawn = [rng.dirichlet(np.full(CLASSES, alpha), 18) for alpha in (0.3, 1.0, 3.0)]
    points = np.clip(np.concatenate([np.array(fixed), *drawn]), EPSILON, 1 - EPSILON)
    return np.asarray(points / points.sum(1, keepdims=True))


_P = _points()
_Y = np.broadcast_to(np.eye(1, CLASSES), _P.shape).copy()
_UNIFORM, _FIRST_WRONG = 0, 1 + len(_RIGHT)
_DRAWN = _FIRST_WRONG + len(_WRONG)


@dataclass(frozen=True, eq=False)
class Probed:
    """Losses (64,) and gradients (64, 10) by the logits, signed; `scale` makes the gradient at equal probabilities
    cross-entropy's."""

    losses: F64
    gradients: F64
    scale: float


def gradients(program: Program, y: F64, p: F64) -> F64:
    """∂/∂logits of Σ_c f(y_c, p_c) for probabilities (m, classes)."""
    with np.errstate(all="ignore"):
        _, slopes = program.values_and_slopes(y, p)
        return np.asarray(p * (slopes - (p * slopes).sum(-1, keepdims=True)), np.float64)


def probe(program: Program, sign: int) -> tuple[str, Probed | None]:
    """The first of `PROBE_REASONS` or `GRADIENT_REASONS` against a loss; without one, what the probe measured."""
    with np.errstate(all="ignore"):
        losses = np.asarray(sign * program.values(_Y, _P).sum(1))
    if not np.isfinite(losses).all():
        return PROBE_REASONS[1], None
    uniform, right, wrong = losses[_UNIFORM], losses[1:_FIRST_WRONG], losses[_FIRST_WRONG:_DRAWN]
    if not (right.min() < uniform < wrong[-1]):
        return PROBE_REASONS[2], None
    pulls = sign * gradients(program, _Y, _P)
    if not np.isfinite(pulls).all() or check(program) is not None:
        return GRADIENT_REASONS[1], None
    at_wrong = pulls[_FIRST_WRONG:_DRAWN]
    raises = pulls[_UNIFORM, 0] < 0 and (pulls[_UNIFORM, 1:] > 0).all()
    if not (raises and (at_wrong[:, 0] < 0).all() and (at_wrong[:, 1] > 0).all()):
        return GRADIENT_REASONS[2], None
    scale = 1 / abs(steepness(program, CLASSES))
    return ("", Probed(losses, pulls, scale)) if _SCALES[0] <= scale <= _SCALES[1] else (GRADIENT_REASONS[3], None)


def gain(program: Program, sign: int) -> float:
    """Accuracy won by 25 steps of Adam on the logits of 100 samples, as a share of what was missing; NaN if lost.

    The last check before any training: free predictions, trained by the loss alone, must become right. Source: Li et
    al., AutoLoss-Zero, CVPR 2022, arXiv 2103.14026 (the loss-rejection protocol; the details are ours).
    """
    rng = np.random.default_rng(21031402)
    logits = rng.standard_normal((_SAMPLES, CLASSES))
    labels = np.arange(_SAMPLES) % CLASSES
    y = np.eye(CLASSES)[labels]
    before = float((logits.argmax(1) == labels).mean())
    first, second = np.zeros_like(logits), np.zeros_like(logits)
    for step in range(1, _STEPS + 1):
        powers = np.exp(logits - logits.max(1, keepdims=True))
        p = np.clip(powers / powers.sum(1, keepdims=True), EPSILON, 1 - EPSILON)
        gradient = sign * gradients(program, y, p)
        if not np.isfinite(gradient).all():
            return float("nan")
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        logits -= _RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-12)
    after = float((logits.argmax(1) == labels).mean())
    return (after - before) / (1 - before)
