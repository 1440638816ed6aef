"""ZiCo."""

from __future__ import annotations

import math

import torch

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["zico"]


def zico(context: ProxyContext) -> float:
    """Σ over the layers of log Σ over their weights of mean |g| / standard deviation of |g|.

    Mean and (population) standard deviation are over the gradients g of the two halves of the batch, each run by itself
    in training mode. Weights whose deviation is zero are left out, and so are layers with no others (they are not used,
    or all their gradients are equal); when all layers are, the score is undefined.

    References: Li, Yang, Bhardwaj and Marculescu, ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on
    Gradients, ICLR 2023, arXiv 2301.11300.
    """
    total, used = 0.0, 0
    for first, second in zip(*(map(torch.abs, half) for half in context.half_gradients), strict=True):
        # Of two numbers the deviation is half their distance, and the mean half their sum.
        distance = (first - second).abs()
        ratio = torch.where(distance > 0, (first + second) / distance, 0.0)
        summed = float(ratio.sum(dtype=torch.float64))
        if summed > 0:
            total += math.log(summed)
            used += 1
    if not used:
        reason = "no layer's gradient differs between the halves of the batch"
        raise UnsupportedModuleError("*", reason, "gradients")
    return total
