"""Dextr: how independent the channels are, and how curved the output is along a circle of inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["dextr"]


def dextr(context: ProxyContext) -> float:
    """a b / (a + b), a = log(1 + Σ over the convolutions of σ_min / σ_max) and b = log(1 + κ).

    σ are the singular values of the output of a convolution, channels by positions, for one input from N(0, 1) (that of
    `meco`). κ is the extrinsic curvature of the output f along the circle of inputs x(θ) = √d (u cos θ + w sin θ), u
    and w orthonormal and random, d the numbers of a sample: with v = ∂f / ∂θ and its derivative v', the integral over
    the circle of √(‖v‖² ‖v'‖² − (v · v')²) / ‖v‖³. Exact derivatives (`proxies.circle`), in training mode, each point a
    batch by itself.

    Chosen here: the integral is the mean of 4 angles times 2π; points at which the output does not move are left out;
    layers are convolutions, as they come, not centred; outputs with one position are left out (a vector has one
    singular value); double precision, in which an output that does not move is told from rounding. A network of ReLUs
    is flat but for its kinks, so that exact derivatives see the bend of the circle and of the normalisation.

    References: Asthana, Conrad, Ortmanns and Belagiannis, Dextr: Zero-Shot Neural Architecture Search with Singular
    Value Decomposition and Extrinsic Curvature, TMLR 2025, arXiv 2508.12977; the curvature: Poole et al., Exponential
    expressivity in deep neural networks through transient chaos, NeurIPS 2016, arXiv 1606.05340.
    """
    ratios = [_conditioning(features[0].flatten(1)) for features in context.single_features]
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        raise UnsupportedModuleError("*", "no convolution has an output with more than one position", "convolutions")
    first, second = math.log1p(math.fsum(known)), math.log1p(_curvature(context))
    return first * second / (first + second) if first + second > 0 else 0.0


def _conditioning(matrix: Tensor) -> float | None:
    """σ_min / σ_max of a matrix (channels, positions), 0 of zeros; None where there is one position."""
    if matrix.shape[1] < 2:
        return None
    values = torch.linalg.svdvals(matrix.double())
    return float(values[-1] / values[0]) if float(values[0]) > 0 else 0.0


def _curvature(context: ProxyContext) -> float:
    bends = []
    for velocity, change in context.circle:
        speed = float(velocity.norm())
        if speed > 0:
            # The part of the change that is across the direction of movement: no difference of large numbers.
            across = change - velocity * (velocity @ change) / speed**2
            bends.append(float(across.norm()) / speed**2)
    if not bends:
        raise UnsupportedModuleError("*", "the output does not depend on the input", "dependent outputs")
    return 2 * math.pi * math.fsum(bends) / len(bends)
