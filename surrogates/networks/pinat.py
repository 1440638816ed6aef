"""A transformer over the operations of an architecture, after PINAT."""

from __future__ import annotations

import math

import torch
from torch import nn

from surrogates.encodings import Encodings, Shape
from surrogates.networks.base import Affine, Head, Network, masked_mean, operation_nodes, operation_shape

__all__ = ["PINAT"]

_FORBIDDEN = -1e9
_WALKS = 3
"""Lengths of walks that a node's position is told by."""
_RETURNS = 4
_HEADS = 4


class PINAT(Network):
    """Pre-norm transformer layers whose heads look at all nodes, or only at predecessors, or only at successors.

    Four heads: two see every real node, one the predecessors, one the successors (each with the node itself). The
    embedding of a node is a linear map of its features, of the means of its neighbours' features in both directions,
    and of its position: walks of one to three steps that end and start there, and the probabilities that a random walk
    without directions is back after two to five steps. Those do not depend on the numbering of nodes, as the rows of
    the Laplacian in the paper do. Mean over the real nodes, three linear layers.

    References: Lu et al., PINAT: A Permutation INvariance Augmented Transformer for NAS Predictor, AAAI 2023.
    """

    batched = True
    rate = 0.2

    def __init__(
        self, shape: Shape, *, width: int = 80, layers: int = 3, feedforward: int = 160, dropout: float = 0.0
    ) -> None:
        super().__init__(width, dropout)
        features = 3 * operation_shape(shape) + 2 * _WALKS + _RETURNS
        self.embedding = Affine(features, width)
        self.queries = nn.ModuleList(Affine(width, 3 * width) for _ in range(layers))
        self.mixes = nn.ModuleList(Affine(width, width) for _ in range(layers))
        self.widens = nn.ModuleList(Affine(width, feedforward) for _ in range(layers))
        self.narrows = nn.ModuleList(Affine(feedforward, width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = Head(width + shape.proxy_scores, width)

    def prepare(self, inputs: Encodings) -> tuple[torch.Tensor, ...]:
        """Described nodes (k, m, ·), attention biases (k, 4, m, m), the mean's weights (k, m, 1)."""
        nodes, adjacency, mask = operation_nodes(inputs)
        loops = adjacency + torch.eye(adjacency.shape[-1], device=adjacency.device)
        means = [(towards / towards.sum(-1, keepdim=True)) @ nodes for towards in (loops.mT, loops)]
        described = torch.cat([nodes, *means, _positions(adjacency)], dim=-1)
        everyone = mask[:, None, :].expand_as(adjacency) | (loops > 0)
        allowed = torch.stack([everyone, everyone, loops.mT > 0, loops > 0], dim=1)
        return described, torch.where(allowed, 0.0, _FORBIDDEN), masked_mean(mask)

    def encode(self, *prepared: torch.Tensor) -> torch.Tensor:
        described, bias, share = prepared
        n, head = described.shape[-2], self.width // _HEADS
        x = self.embedding(described.flatten(-3, -2))
        for query, mix, widen, narrow in zip(self.queries, self.mixes, self.widens, self.narrows, strict=True):
            projected = torch.unflatten(torch.unflatten(query(self.norm(x)), -2, (-1, n)), -1, (3, _HEADS, head))
            q, k, v = projected.movedim(-3, 0).transpose(-3, -2)
            weights = torch.softmax(q @ k.mT / math.sqrt(head) + bias, dim=-1)
            x = x + mix((weights @ v).transpose(-3, -2).flatten(-2).flatten(-3, -2))
            x = x + narrow(torch.relu(widen(self.norm(x))))
        x = (torch.unflatten(x, -2, (-1, n)) * share).sum(-2)
        normalised: torch.Tensor = self.norm(x)
        return normalised


def _positions(adjacency: torch.Tensor) -> torch.Tensor:
    """Where each node is in its graph (k, m, 2 · walks + returns), whatever the numbering."""
    ones = torch.ones_like(adjacency[..., :1])
    found = []
    for towards in (adjacency.mT, adjacency):
        walks = ones
        for _ in range(_WALKS):
            walks = towards @ walks
            found.append(torch.log1p(walks))
    either = ((adjacency + adjacency.mT) > 0).float()
    step = either / either.sum(-1, keepdim=True).clamp_min(1)
    power = step
    for _ in range(_RETURNS):
        power = power @ step
        found.append(power.diagonal(dim1=-2, dim2=-1)[..., None])
    return torch.cat(found, dim=-1)
