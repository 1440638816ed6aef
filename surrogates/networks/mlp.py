"""The accuracy predictor of Once-for-all: a multilayer perceptron over the flattened encoding."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from surrogates.encodings import Encodings, Shape
from surrogates.networks.base import Affine, Network

__all__ = ["MLP"]


class MLP(Network):
    """ReLU layers over the flattened node features, adjacency and edge features, and a linear layer without bias.

    Masked nodes and their edges are zero. The order of nodes matters to it.

    References: Cai et al., Once-for-All, ICLR 2020, arXiv 1908.09791 (three layers of 400).
    """

    batched = True
    last_layer = "head"
    rate = 0.2

    def __init__(self, shape: Shape, *, width: int = 400, layers: int = 3, dropout: float = 0.0) -> None:
        super().__init__(width, dropout)
        n, f, e, p = shape
        sizes = [n * f + n * n + (n * n * e if e > 1 else 0), *[width] * layers]
        self.layers = nn.ModuleList(Affine(a, b) for a, b in pairwise(sizes))
        self.head = Affine(width + p, 1, bias=False)

    def prepare(self, inputs: Encodings) -> tuple[torch.Tensor, ...]:
        """The flattened encoding (k, inputs)."""
        mask = inputs.mask.float()
        pairs = mask[:, :, None] * mask[:, None, :]
        parts = [inputs.nodes * mask[:, :, None], inputs.adjacency * pairs]
        if inputs.shape.edge_features > 1:
            parts.append(inputs.edges * (inputs.adjacency * pairs)[..., None])
        return (torch.cat([part.flatten(1) for part in parts], dim=1),)

    def encode(self, *prepared: torch.Tensor) -> torch.Tensor:
        (x,) = prepared
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x
