"""Proxies of the linear regions of ReLU networks: which units are active for which sample.

All: training mode, every call of a ReLU (or ReLU6, leaky or parametric ReLU) in the forward pass of the batch, units
taken one by one. `UnsupportedModuleError` for networks without any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.context import ProxyContext
from proxies.patterns import agreement, distinct_columns

__all__ = ["linear_regions", "nwot", "reg_swap", "swap"]


def nwot(context: ProxyContext) -> float:
    """log |det K|, K the number of units that agree in two samples: K = Σ C Cᵀ + (1 − C) (1 − C)ᵀ over the ReLUs.

    Undefined (an error) when two samples agree in all units, for K is singular then.

    References: Mellor et al., Neural Architecture Search without Training, ICML 2021, arXiv 2006.04647.
    """
    return log_determinant(context.relu_codes, len(context.inputs))


def log_determinant(codes: Sequence[Tensor], samples: int) -> float:
    """log |det K| of packed codes; `UnsupportedModuleError` when two samples have the same."""
    kernel = agreement(codes, samples)
    off = kernel - torch.diag(torch.full((len(kernel),), torch.inf, dtype=kernel.dtype, device=kernel.device))
    if bool((off >= kernel[0, 0]).any()):
        reason = "two samples have the same activation code, so the kernel is singular"
        raise UnsupportedModuleError("*", reason, "distinct codes")
    return float(torch.linalg.slogdet(kernel).logabsdet)


def swap(context: ProxyContext) -> float:
    """Number of distinct sample-wise patterns: for each unit the bits of all samples, different ones counted once.

    At most 2ⁿ for n samples.

    References: Peng, Song, Fayek, Ciesielski and Chang, SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS,
    ICLR 2024, arXiv 2403.04161.
    """
    return float(distinct_columns(context.relu_codes))


def reg_swap(scores: Mapping[str, float], *, mu: float = 1.5, sigma: float = 1.5) -> float:
    """log of swap × exp(−(Θ − μ)² / σ), Θ the number of parameters in millions: `swap`, with a size that is wanted.

    The logarithm has the same order, and does not vanish for networks that are far from μ. What μ and σ are is a choice
    for each space: the paper's for its benchmarks are not known here. Ours are those of NAS-Bench-201, whose networks
    have at most 1.53 million parameters, so that larger is better; a function of your own has others::

        proxies.proxy("wide_swap", needs=("swap", "params"), direction=+1)(partial(reg_swap, mu=4.0, sigma=4.0))

    References: Peng, Song, Fayek, Ciesielski and Chang, SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS,
    ICLR 2024, arXiv 2403.04161.
    """
    return math.log(scores["swap"]) - (scores["params"] / 1e6 - mu) ** 2 / sigma


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
