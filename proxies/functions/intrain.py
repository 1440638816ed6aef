"""InTrain: how many dimensions the activations fill, times how even the gradients are."""

from __future__ import annotations

import math

from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["intrain"]

_ROUNDING = 1e-5
"""Gradients below this share of the largest are taken for rounding error."""

_CONSTANT = 1e-12
"""A variance below this share of the mean square is that of a constant."""


def intrain(context: ProxyContext) -> float:
    """γ (1 + o) / log(L + 1) of the network on noise with random labels (`proxies.noise`).

    γ = Σ over the L layers of log PR(C), PR = (tr C)² / tr C² the participation ratio of the covariance C of a layer's
    output channels; every position of every sample is an observation. o = Σ over the parameters (tensors) of
    min(1, standard deviation of the gradient's entries / their largest magnitude).

    Chosen here: layers are convolutions, linear layers and alike, with the observations of all their calls; a layer
    whose output is constant adds nothing to γ (with the paper's 1e-10 added to C it would count as full); a parameter
    whose largest entry is below 1e-5 of the largest of all parameters adds nothing to o, for that is rounding error
    (the paper adds 1e-10 to the magnitude; a bias in front of a normalisation has such a gradient, and would count as
    healthy in single precision); deviations are those of the population, so a parameter with one entry adds nothing to
    o; noise has the shape of the batch (the paper: 64 images of 64 × 64).

    References: Zhou, Chen, Wu, Chen, Hu and Cai, InTrain: Intrinsic Trainability for Zero-Cost Neural Architecture
    Search, CVPR 2026, arXiv 2606.18676.
    """
    seen = context.noise
    if not seen.features:
        raise UnsupportedModuleError("*", "none of the module's layers is called", "layers")
    capacity = math.fsum(map(_log_participation, seen.features))
    magnitudes = {name: float(gradient.abs().max()) for name, gradient in seen.gradients.items() if gradient.numel()}
    least = _ROUNDING * max(magnitudes.values())
    resilience = math.fsum(
        min(1.0, float(seen.gradients[name].double().std(correction=0)) / magnitude)
        for name, magnitude in magnitudes.items()
        if magnitude > least
    )
    return capacity * (1 + resilience) / math.log(len(seen.features) + 1)


def _log_participation(rows: Tensor) -> float:
    """log of the participation ratio of the covariance of rows (m, channels)."""
    centred = rows - rows.mean(0)
    covariance = (centred.mT @ centred).double() / len(rows)
    trace, square = float(covariance.trace()), float(covariance.square().sum())
    # Constant, up to the rounding of single precision.
    if trace <= _CONSTANT * float(rows.square().mean(0).sum()) or square == 0:
        return 0.0
    return 2 * math.log(trace) - math.log(square)
