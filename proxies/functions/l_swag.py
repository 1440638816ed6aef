"""L-SWAG: steady gradients times diverse activation patterns."""

from __future__ import annotations

import math

import torch

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext
from proxies.nonlinear import of_samples
from proxies.patterns import distinct_columns, pack

__all__ = ["l_swag"]


def l_swag(context: ProxyContext) -> float:
    """[Σ over the layers of log Σ over their weights of 1 / σ(|g|)] × number of distinct sample-wise patterns.

    σ is the (population) standard deviation of the weight's absolute gradient over the two halves of the batch, each
    run by itself, as for `zico`. Patterns are those of `swap`, of all activation functions (the paper: ReLU and GELU),
    so that transformers have a score.

    Chosen here: all layers count. The paper counts those in a range of depth that it reads off a plot of each
    benchmark's gradients, which is not known for a network by itself; it prints what all layers give, too. Weights
    whose deviation is zero are left out, and so are layers with no others.

    References: Casarin, Escalera and Lanz, L-SWAG: Layer-Sample Wise Activation with Gradients Information for
    Zero-Shot NAS on Vision Transformers, CVPR 2025, arXiv 2505.07300.
    """
    total, used = 0.0, 0
    for gradients in zip(*context.half_gradients, strict=True):
        deviation = torch.stack(gradients).abs().double().std(0, correction=0)
        inverse = float(torch.where(deviation > 0, 1 / deviation, 0.0).sum())
        if inverse > 0:
            total += math.log(inverse)
            used += 1
    if not used:
        reason = "no layer's gradient differs between the halves of the batch"
        raise UnsupportedModuleError("*", reason, "gradients")
    calls = of_samples(context.nonlinear_calls, len(context.inputs))
    return total * distinct_columns([pack(call.after) for call in calls])
