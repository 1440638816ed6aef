"""Proxies of the loss's gradient at the initial weights, from the literature on pruning.

All of them: training mode (batch statistics), the whole batch at once, mean cross-entropy unless the caller gives
another loss; sums run over the weights W of the layers (convolutions, linear layers and alike), not over biases and
normalisation. g is ∂L/∂W.
"""

from __future__ import annotations

import torch

from proxies.context import ProxyContext

__all__ = ["fisher", "grad_norm", "grasp", "plain", "snip"]

_DOUBLE = torch.float64


def grad_norm(context: ProxyContext) -> float:
    """Sum over the layers of ‖g‖₂: a sum of norms, not the norm of everything.

    References: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134.
    """
    return sum(float(g.norm()) for g in context.weight_gradients)


def plain(context: ProxyContext) -> float:
    """Sum over the layers of Σ W g, signs and all.

    References: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, ICLR 2021, arXiv 2101.08134; after Mozer and
    Smolensky, Skeletonization, NeurIPS 1988.
    """
    return sum(
        float((layer.weight.detach() * g).sum(dtype=_DOUBLE))
        for layer, g in zip(context.layers, context.weight_gradients, strict=True)
    )


def snip(context: ProxyContext) -> float:
    """Sum over the layers of Σ |W g|, which is |∂L/∂c| for masks c = 1 on the weights.

    References: Lee, Ajanthan and Torr, SNIP, ICLR 2019, arXiv 1810.02340.
    """
    return sum(
        float((layer.weight.detach() * g).abs().sum(dtype=_DOUBLE))
        for layer, g in zip(context.layers, context.weight_gradients, strict=True)
    )


def grasp(context: ProxyContext) -> float:
    """Sum over the layers of −Σ W (H g), H the Hessian by the weights of all layers; temperature 1.

    H g is exact, by differentiating twice through the one graph of the batch.

    References: Wang, Zhang and Grosse, Picking Winning Tickets Before Training by Preserving Gradient Flow, ICLR 2020,
    arXiv 2002.07376; as a proxy: Abdelfattah et al., ICLR 2021, arXiv 2101.08134.
    """
    return -sum(
        float((layer.weight.detach() * h).sum(dtype=_DOUBLE))
        for layer, h in zip(context.layers, context.hessian_gradient, strict=True)
    )


def fisher(context: ProxyContext) -> float:
    """Fisher information of the output channels of the layers, each counted once for every weight of the channel.

    For channel k of a layer with outputs a: ½ mean over samples of (Σ over positions of a ∂L/∂a)², summed over the
    calls of the layer, times the number of weights that make the channel (its fan-in), as in the code that introduced
    it as a proxy.

    References: Theis et al., Faster gaze prediction with dense networks and Fisher pruning, arXiv 1801.05787; Turner et
    al., BlockSwap, ICLR 2020, arXiv 1906.04113; as a proxy: Abdelfattah et al., ICLR 2021, arXiv 2101.08134.
    """
    total = 0.0
    for seen in context.activation_gradients:
        for output, gradient in zip(seen.outputs, seen.gradients, strict=True):
            channel = 1 if seen.layer.convolution else output.dim() - 1
            positions = [d for d in range(1, output.dim()) if d != channel]
            product = output * gradient
            by_channel = product.sum(positions) if positions else product
            information = by_channel.square().mean(0) / 2
            fan_in = seen.layer.weight.numel() / len(information)
            total += float(information.sum(dtype=_DOUBLE)) * fan_in
    return total
