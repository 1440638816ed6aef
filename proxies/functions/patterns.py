"""Proxies of the linear regions of ReLU networks: which units are active for which sample.

All: training mode, every call of a ReLU (or ReLU6, leaky or parametric ReLU) in the forward pass of the batch, units
taken one by one. `UnsupportedModuleError` for networks without any.
"""

from __future__ import annotations

import torch

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext
from proxies.patterns import agreement, distinct_columns

__all__ = ["linear_regions", "nwot", "swap"]


def nwot(context: ProxyContext) -> float:
    """log |det K|, K the number of units that agree in two samples: K = Σ C Cᵀ + (1 − C) (1 − C)ᵀ over the ReLUs.

    Undefined (an error) when two samples agree in all units, for K is singular then.

    References: Mellor et al., Neural Architecture Search without Training, ICML 2021, arXiv 2006.04647.
    """
    kernel = agreement(context.relu_codes, len(context.inputs))
    off = kernel - torch.diag(torch.full((len(kernel),), torch.inf, dtype=kernel.dtype, device=kernel.device))
    if bool((off >= kernel[0, 0]).any()):
        reason = "two samples have the same activation code, so the kernel is singular"
        raise UnsupportedModuleError("*", reason, "distinct codes")
    return float(torch.linalg.slogdet(kernel).logabsdet)


def swap(context: ProxyContext) -> float:
    """Number of distinct sample-wise patterns: for each unit the bits of all samples, different ones counted once.

    At most 2ⁿ for n samples. The paper's optional regularisation by the number of parameters is left to the caller.

    References: Peng, Song, Fayek, Ciesielski and Chang, SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS,
    ICLR 2024, arXiv 2403.04161.
    """
    return float(distinct_columns(context.relu_codes))


def linear_regions(context: ProxyContext) -> float:
    """Number of distinct activation codes among the samples: linear regions that the batch lies in.

    TE-NAS counts them for a thin version of the network on thousands of tiny images; this counts them for the module
    and the batch that it is given, and so ends at the number of samples for wide networks.

    References: Chen, Gong and Wang, Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS), ICLR 2021,
    arXiv 2102.11535.
    """
    kernel = agreement(context.relu_codes, len(context.inputs))
    same = kernel == kernel.diagonal().max()
    # A sample is new when no earlier one has its code.
    return float((~same.tril(-1).any(1)).sum())
