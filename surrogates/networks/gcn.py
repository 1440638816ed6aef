"""A graph convolutional network that reads architectures in both directions."""

from __future__ import annotations

import torch
from torch import nn

from po_nas.errors import ConfigError
from surrogates.encodings import Encodings, Shape
from surrogates.networks.base import Affine, Head, Network, masked_mean, operation_nodes, operation_shape

__all__ = ["GCN"]


class GCN(Network):
    """Bidirectional graph convolutions, mean over the real nodes, LayerNorm, three linear layers.

    A layer is V' = ReLU([Ã₋ V W₋, Ã₊ V W₊] + b): half of the channels read predecessors, the other half successors,
    with Ã the row-normalised Aᵀ + I and A + I; the first layer lets every channel read both. Operations on edges become
    nodes first (`operation_nodes`).

    References: after Wen et al., Neural Predictor for Neural Architecture Search, ECCV 2020, arXiv 1912.00848, which
    adds the two directions at full width (the same accuracy on NAS-Bench-201 for twice the arithmetic) and normalises
    the second one twice.
    """

    batched = True

    def __init__(self, shape: Shape, *, width: int = 64, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__(width, dropout)
        if width % 2:
            raise ConfigError("gcn.width", width, "must be even: half of it reads each direction")
        sizes = [2 * operation_shape(shape), *[width] * (layers - 1)]
        self.convolutions = nn.ModuleList(Affine(size, width) for size in sizes)
        # The layer behind it has weights of its own.
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = Head(width + shape.proxy_scores, width)

    def prepare(self, inputs: Encodings) -> tuple[torch.Tensor, ...]:
        """Both means of neighbours' features (k, m, 2g), the adjacency of halves (k, 2m, 2m), the mean's weights."""
        nodes, adjacency, mask = operation_nodes(inputs)
        k, m, _ = nodes.shape
        loops = adjacency + torch.eye(m, device=adjacency.device)
        directions = [towards / towards.sum(-1, keepdim=True) for towards in (loops.mT, loops)]
        # Each node is two, a half of its channels each, so that one product serves both directions.
        halves = adjacency.new_zeros(k, m, 2, m, 2)
        for half, towards in enumerate(directions):
            halves[:, :, half, :, half] = towards
        means = torch.cat([towards @ nodes for towards in directions], dim=-1)
        return means, halves.view(k, 2 * m, 2 * m), masked_mean(mask)

    def encode(self, *prepared: torch.Tensor) -> torch.Tensor:
        x, halves, share = prepared
        m = x.shape[-2]
        x = x.flatten(-3, -2)
        for layer, convolution in enumerate(self.convolutions):
            x = convolution(x)
            if layer:
                # The rows of an adjacency sum to one, so the bias is the same before and behind it.
                x = _gathered(halves, x)
            x = torch.relu_(x)
        x = (torch.unflatten(x, -2, (-1, m)) * share).sum(-2)
        normalised: torch.Tensor = self.norm(x)
        return normalised


def _gathered(halves: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The mean over neighbours (…, k · m, w) of nodes (…, k · m, w), each half of the channels in its direction."""
    rows, width = halves.shape[-1], x.shape[-1] // 2
    graphs = halves.reshape(-1, rows, rows)
    if graphs.shape[0] * rows * width == x.numel():
        # One flat batch of products spares autograd the views of a broadcast one.
        return torch.bmm(graphs, x.reshape(-1, rows, width)).reshape(x.shape)
    return (halves @ x.reshape(*x.shape[:-2], -1, rows, width)).reshape(x.shape)
