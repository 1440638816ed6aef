"""Proxies of the gradients of single samples.

Batch normalisation uses the statistics of the batch, held constant, so each sample has a gradient of its own (the
theory knows no batch normalisation); the rest of the module is in evaluation mode. Gradients are by all parameters that
require one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext

__all__ = ["gradsign", "ntk"]

_LIMIT = 1 << 28
"""Numbers kept at a time in `ntk` (1 GiB in single precision). More are computed again, at the same result."""


def tangent_kernel(context: ProxyContext, limit: int = _LIMIT) -> Tensor:
    """The empirical neural tangent kernel (n, n), double: inner products of the gradients of Σ outputs.

    At most `limit` numbers of gradients are kept; where all do not fit they are computed again, block by block.
    """
    samples = context.sample_gradients
    n = len(samples)
    size = max(1, min(n, limit // samples.size))
    kernel = torch.zeros(n, n, dtype=torch.float64)
    for start in range(0, n, size):
        block = torch.stack(list(samples.of_outputs(start, start + size)))
        kernel[start : start + size, start : start + size] = (block @ block.mT).double()
        for other, gradient in enumerate(samples.of_outputs(start + size), start + size):
            kernel[start : start + size, other] = kernel[other, start : start + size] = (block @ gradient).double()
    return kernel


def ntk(context: ProxyContext) -> float:
    """Condition number λ_max / λ_min of the neural tangent kernel of the sum of the outputs; lower is better.

    References: Chen, Gong and Wang, Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS), ICLR 2021,
    arXiv 2102.11535.
    """
    values = torch.linalg.eigvalsh(tangent_kernel(context))
    if float(values[0]) <= 0:
        reason = "the tangent kernel is singular in the precision of the module"
        raise UnsupportedModuleError("*", reason, "regular kernel")
    return float(values[-1] / values[0])


def gradsign(context: ProxyContext) -> float:
    """Σ over the parameters of |Σ over samples of sign(∂ loss of the sample)|.

    References: Zhang and Jia, GradSign: Model Performance Inference with Theoretical Insights, ICLR 2022,
    arXiv 2110.08616.
    """
    samples = context.sample_gradients
    total = torch.zeros(samples.size, device=context.inputs.device)
    for gradient in samples.of_losses():
        total += gradient.sign()
    return float(total.abs().sum(dtype=torch.float64))
