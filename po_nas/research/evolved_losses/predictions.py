"""The last check before any training: free predictions, trained by the loss alone, must become right.

Reference: Li et al., AutoLoss-Zero, CVPR 2022, arXiv 2103.14026 (the loss-rejection protocol; the details are ours).
"""

from __future__ import annotations

import numpy as np

from losses.classification import EPSILON, Program
from po_nas.research.evolved_losses.probe import CLASSES, gradients

__all__ = ["GAIN", "gain"]

GAIN = 0.6
"""Share of what there is to gain that a loss must gain."""
_SAMPLES, _STEPS, _RATE = 100, 25, 0.3


def gain(program: Program, sign: int) -> float:
    """Accuracy won by 25 steps of Adam on the logits of 100 samples, as a share of what was missing; NaN if lost."""
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
