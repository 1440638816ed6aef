"""Proxies that count: parameters, operations, size of the weights."""

from __future__ import annotations

from proxies.context import ProxyContext

__all__ = ["flops", "l2_norm", "params"]


def params(context: ProxyContext) -> float:
    """Number of parameters; shared ones count once, frozen ones like the others.

    References: Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230.
    """
    return float(sum(parameter.numel() for parameter in context.parameters.values()))


def flops(context: ProxyContext) -> float:
    """Multiply-accumulates of one sample in convolutions and matrix products (`proxies.counting`, "macs").

    Evaluation mode. For a module with several inputs it is the count for all of them together.

    References: Krishnakumar et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230.
    """
    return float(context.macs)


def l2_norm(context: ProxyContext) -> float:
    """Sum over the layers of ‖W‖₂ (Frobenius; biases and normalisation do not count).

    References: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134.
    """
    return sum(float(layer.weight.detach().norm()) for layer in context.layers)
