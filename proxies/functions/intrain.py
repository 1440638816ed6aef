"""InTrain: how many dimensions the activations fill, times how even the gradients are."""

from __future__ import annotations

import math

from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.blocks import by_position
from proxies.context import ProxyContext

__all__ = ["intrain"]

_ROUNDING = 1e-5
"""Gradients below this share of the largest are taken for rounding error."""


def intrain(context: ProxyContext) -> float:
    """γ (1 + o) / log(L + 1) of the network on noise with random labels (`proxies.noise`).

    γ = Σ over the L layers of log PR(C), PR = (tr C)² / tr C² the participation ratio of the covariance C of a layer's
    output channels; every position of every sample is an observation. o = Σ over the trainable parameters (tensors) of
    min(1, standard deviation of the gradient's entries / their largest magnitude).

    Chosen here: layers are convolutions, linear layers and alike, each call one; a layer whose output is constant adds
    nothing to γ (with the paper's 1e-10 added to C it would count as full); a parameter whose largest entry is below 1e-5
    of the largest of all parameters adds nothing to o, for that is rounding error (the paper adds 1e-10 to the magnitude;
    a bias in front of a normalisation has such a gradient, and would count as healthy in single precision); deviations are
    those of the population, so a parameter with one entry adds nothing to o; noise has the shape of the batch (the paper: 64 images of 64 × 64).

    References: Zhou, Chen, Wu, Chen, Hu and Cai, InTrain: Intrinsic Trainability for Zero-Cost Neural Architecture
    Search, CVPR 2026, arXiv 2606.18676.
    """
    seen = context.noise
    capacities = [
        _log_participation(output if layer.convolution else output.movedim(-1, 1))
        for layer, outputs in seen.features
        for output in outputs
    ]
    if not capacities:
        raise UnsupportedModuleError("*", "none of the module's layers is called", "layers")
    magnitudes = {name: float(gradient.abs().max()) for name, gradient in seen.gradients.items() if gradient.numel()}
    least = _ROUNDING * max(magnitudes.values())
    resilience = math.fsum(
        min(1.0, float(seen.gradients[name].double().std(correction=0)) / magnitude)
        for name, magnitude in magnitudes.items()
        if magnitude > least
    )
    return math.fsum(capacities) * (1 + resilience) / math.log(len(capacities) + 1)


def _log_participation(features: Tensor) -> float:
    """log of the participation ratio of features (n, channels, …)."""
    rows = by_position(features, last=False).movedim(1, -1).flatten(0, -2)
    centred = rows - rows.mean(0)
    covariance = (centred.mT @ centred).double() / len(rows)
    trace, square = float(covariance.trace()), float(covariance.square().sum())
    return 2 * math.log(trace) - math.log(square) if trace > 0 and square > 0 else 0.0

