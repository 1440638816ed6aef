"""A graph attention network that sees operations on edges."""

from __future__ import annotations

import torch
from torch import nn

from surrogates.encodings import Encodings, Shape
from surrogates.networks.base import Affine, Head, Network, masked_mean

__all__ = ["GAT"]

_FORBIDDEN = -1e9
"""Attention score of nodes that must not be looked at; finite, for padding looks at itself alone."""


class GAT(Network):
    """Attention of each node over its predecessors, its successors and itself, mean over the real nodes, a head.

    The message of i to j is LeakyReLU(W₁ x_i + W₂ x_j + W₃ e_ij), its weight a softmax over i of a linear score of the
    message, in several heads; e_ij are the features of the edge i → j, those of j → i, and which of the two exists.
    Dense: time and memory grow with the square of the number of nodes.

    References: Veličković et al., Graph Attention Networks, ICLR 2018, arXiv 1710.10903; Brody et al., How Attentive
    are Graph Attention Networks?, ICLR 2022, arXiv 2105.14491 (the order of score and nonlinearity).
    """

    batched = True

    def __init__(self, shape: Shape, *, width: int = 64, layers: int = 3, heads: int = 4, dropout: float = 0.0) -> None:
        super().__init__(width, dropout)
        sizes = [shape.node_features, *[width] * (layers - 1)]
        self.senders = nn.ModuleList(Affine(size, width) for size in sizes)
        self.receivers = nn.ModuleList(Affine(size, width, bias=False) for size in sizes)
        self.links = nn.ModuleList(Affine(2 * shape.edge_features + 2, width, bias=False) for _ in sizes)
        self.scores = nn.ModuleList(Affine(width, heads, bias=False) for _ in sizes)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.head = Head(width + shape.proxy_scores, width)

    def prepare(self, inputs: Encodings) -> tuple[torch.Tensor, ...]:
        """Node features (k, n, f), links (k, n · n, 2e + 2) by receiver and sender, biases, the mean's weights."""
        mask = inputs.mask.float()
        nodes = inputs.nodes * mask[:, :, None]
        adjacency = inputs.adjacency * mask[:, :, None] * mask[:, None, :]
        edges = inputs.edges * adjacency[..., None]
        links = torch.cat([edges.transpose(1, 2), edges, adjacency.mT[..., None], adjacency[..., None]], dim=-1)
        near = adjacency.mT + adjacency + torch.eye(adjacency.shape[-1], device=adjacency.device)
        bias = torch.where(near > 0, 0.0, _FORBIDDEN)[..., None]
        return nodes, links.flatten(1, 2), bias, masked_mean(inputs.mask)

    def encode(self, *prepared: torch.Tensor) -> torch.Tensor:
        x, links, bias, share = prepared
        n = x.shape[-2]
        x, links = x.flatten(-3, -2), links.flatten(-3, -2)
        for send, receive, link, score in zip(self.senders, self.receivers, self.links, self.scores, strict=True):
            sent = torch.unflatten(send(x), -2, (-1, 1, n))
            received = torch.unflatten(receive(x), -2, (-1, n, 1))
            met = torch.unflatten(link(links), -2, (-1, n, n))
            messages = nn.functional.leaky_relu(sent + received + met, 0.2)
            scores = torch.unflatten(score(messages.flatten(-4, -2)), -2, (-1, n, n))
            weights = torch.softmax(scores + bias, dim=-2)
            heads = weights.shape[-1]
            mixed = (torch.unflatten(messages, -1, (heads, -1)) * weights[..., None]).sum(-3)
            x = mixed.flatten(-2).flatten(-3, -2)
        x = (torch.unflatten(x, -2, (-1, n)) * share).sum(-2)
        normalised: torch.Tensor = self.norm(x)
        return normalised
