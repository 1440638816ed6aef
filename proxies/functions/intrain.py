"""InTrain: how many dimensions the activations fill, times how even the gradients are."""

from __future__ import annotations

import math

from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.blocks import by_position
from proxies.context import ProxyContext

__all__ = ["intrain"]

_EPSILON = 1e-10


def intrain(context: ProxyContext) -> float:
    """γ (1 + o) / log(L + 1) of the network on noise with random labels (`proxies.noise`).

    γ = Σ over the L layers of log PR(C), PR = (tr C)² / tr C² the participation ratio of the covariance C of a layer's
    output channels; every position of every sample is an observation. o = Σ over the trainable parameters (tensors) of
    min(1, standard deviation of the gradient's entries / (their largest magnitude + 1e-10)).

    Chosen here: layers are convolutions, linear layers and alike, each call one; a layer whose output is constant adds
    nothing to γ (with the paper's 1e-10 added to C it would count as full); deviations are those of the population, so a
    parameter with one entry adds nothing to o; noise has the shape of the batch (the paper: 64 images of 64 × 64).

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
    resilience = sum(_health(gradient) for gradient in seen.gradients.values())
    return math.fsum(capacities) * (1 + resilience) / math.log(len(capacities) + 1)


def _log_participation(features: Tensor) -> float:
    """log of the participation ratio of features (n, channels, …)."""
    rows = by_position(features, last=False).movedim(1, -1).flatten(0, -2)
    centred = rows - rows.mean(0)
    covariance = (centred.mT @ centred).double() / len(rows)
    trace, square = float(covariance.trace()), float(covariance.square().sum())
    return 2 * math.log(trace) - math.log(square) if trace > 0 and square > 0 else 0.0


def _health(gradient: Tensor) -> float:
    deviation = float(gradient.double().std(correction=0))
    return min(1.0, deviation / (float(gradient.abs().max()) + _EPSILON))
