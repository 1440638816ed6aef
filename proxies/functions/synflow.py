"""Synaptic flow: saliency without data."""

from __future__ import annotations

from torch import Tensor

from proxies.context import ProxyContext

__all__ = ["synflow", "synflow_bn"]


def synflow(context: ProxyContext) -> float:
    """Sum over the layers of Σ |W| ∂R/∂|W|, R the sum of the outputs for one input of ones.

    All parameters (biases and normalisation too) are replaced by their absolute values, batch and instance
    normalisation hand on their input, double precision, training mode. This is the form of Zero-Cost-NAS and
    NAS-Bench-Suite-Zero, whose tables hold its logarithm.

    References: Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS
    2020, arXiv 2006.05467; as a proxy: Abdelfattah et al., ICLR 2021, arXiv 2101.08134.
    """
    return _total(context.synaptic_flow)


def synflow_bn(context: ProxyContext) -> float:
    """`synflow` with batch normalisation kept: statistics of the one sample, absolute scales and shifts.

    This is what the DARTS searches of RoBoT and PO-NAS call synflow.

    References: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134.
    """
    return _total(context.normalised_flow)


def _total(flow: list[tuple[Tensor, Tensor]]) -> float:
    return sum(float((weight * gradient).abs().sum()) for weight, gradient in flow)
