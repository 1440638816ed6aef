"""WRCor: how uncorrelated the samples' activations and gradients are, later layers counting more."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext
from proxies.nonlinear import of_samples

__all__ = ["wrcor"]


def wrcor(context: ProxyContext) -> float:
    """log det Σ over the calls l of activation functions of 2ˡ (|Cᴬ| + |Cᴳ|), l = 0, 1, … in their order.

    Cᴬ and Cᴳ are the Pearson correlations (n, n) of the samples' rows: what enters the function, and the loss's
    gradient by what leaves it. The weight of the last of L calls is taken out of the determinant, so that nothing
    overflows; it adds n (L − 1) log 2, by which deeper networks have higher scores.

    Chosen here: a constant row, as of a gradient that is zero, correlates with nothing (not with itself either), so
    such a call adds zeros. Undefined (an error) when the
    matrix is singular. The voting proxies of the paper (SJW, SPW) are majority votes of this with others.

    References: Jing, Chen, Xu, Tai, Wang and Li, Zero-Shot Neural Architecture Search with Weighted Response
    Correlation, arXiv 2507.08841.
    """
    count = len(context.inputs)
    calls = of_samples(context.nonlinear_calls, count)
    kernel = torch.zeros(count, count, dtype=torch.float64, device=context.inputs.device)
    for call, gradient in zip(calls, context.nonlinear_gradients, strict=True):
        # Halved before each call: the last one has weight one, the first 2 ** -(L - 1).
        kernel = kernel / 2 + _absolute_correlations(call.before) + _absolute_correlations(gradient)
    sign, logarithm = torch.linalg.slogdet(kernel)
    if float(sign) <= 0:
        reason = "the correlations of the samples are singular (two samples look alike to every layer)"
        raise UnsupportedModuleError("*", reason, "distinct samples")
    return float(logarithm) + count * (len(calls) - 1) * math.log(2)


def _absolute_correlations(tensor: Tensor) -> Tensor:
    rows = tensor.flatten(1).double()
    centred = rows - rows.mean(1, keepdim=True)
    norms = centred.norm(dim=1, keepdim=True)
    unit = torch.where(norms > 0, centred / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
    return (unit @ unit.mT).abs()
