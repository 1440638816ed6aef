"""The encoder whose embeddings decide how far each proxy is trusted: graph attention along the edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from surrogates.encodings import Encodings, Shape
from surrogates.networks.base import Affine, masked_mean

__all__ = ["Embeddings", "GraphEncoder", "Graphs"]

_FORBIDDEN = -1e9
"""Attention score of nodes that must not be looked at; finite, for padding looks at itself alone."""
_SLOPE = 0.2


class Graphs(NamedTuple):
    """What the encoder reads of k architectures; made once by `GraphEncoder.prepare`."""

    nodes: torch.Tensor
    """Node features (k, n, f), zero for padding."""
    edges: torch.Tensor
    """Edge features (k, n, n, e) from source to target; a loop has the mean of its node's incoming edges."""
    bias: torch.Tensor
    """Zero for edges and loops, a large negative number elsewhere (k, n, n)."""
    mask: torch.Tensor
    """Which nodes are real (k, n)."""

    def rows(self, index: torch.Tensor | slice) -> Graphs:
        """Some of the architectures."""
        return Graphs(*(part[index] for part in self))


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of k architectures: `nodes` (k, n, d), `mask` (k, n) true for real nodes, `pooled` (k, d)."""

    nodes: torch.Tensor
    mask: torch.Tensor
    pooled: torch.Tensor

    def __len__(self) -> int:
        return len(self.pooled)

    def __getitem__(self, index: torch.Tensor | slice) -> Embeddings:
        return Embeddings(self.nodes[index], self.mask[index], self.pooled[index])


class GraphEncoder(nn.Module):
    """Two layers of graph attention, several heads side by side, ELU after each, the mean over the real nodes.

    Messages go from source to target, and from each node to itself; their weights are a softmax of LeakyReLU of a
    linear score of source, target and edge. Both cells of a cell-based space are one graph. Other than in the paper's
    layer an edge's features are also part of its message, not of its weight alone: where a node has one predecessor
    the weight says nothing. Dense: time and memory grow with the square of the number of nodes.

    `width` is the size of a head. Initialisation draws from torch's global generator.

    Reference for the layer: Veličković et al., Graph Attention Networks, ICLR 2018, arXiv 1710.10903.
    """

    def __init__(self, shape: Shape, *, width: int = 32, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.size = width * heads
        self.layers = nn.ModuleList(
            _Attention(size, shape.edge_features, width, heads)
            for size in (shape.node_features, *[self.size] * (layers - 1))
        )

    @staticmethod
    def prepare(inputs: Encodings) -> Graphs:
        """What `forward` needs, without what lies in padding."""
        mask = inputs.mask.to(inputs.nodes.dtype)
        adjacency = inputs.adjacency * mask[:, :, None] * mask[:, None, :]
        edges = inputs.edges * adjacency[..., None]
        loops = torch.eye(adjacency.shape[-1], device=adjacency.device)
        incoming = edges.sum(1) / adjacency.sum(1).clamp_min(1)[..., None]
        bias = torch.where(adjacency + loops > 0, 0.0, _FORBIDDEN)
        edges = edges + loops[None, :, :, None] * incoming[:, None]
        return Graphs(inputs.nodes * mask[..., None], edges, bias, inputs.mask)

    def forward(self, graphs: Graphs) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of nodes (k, n, size), zero for padding, and pooled ones (k, size)."""
        x = graphs.nodes
        for layer in self.layers:
            x = nn.functional.elu(layer(x, graphs.edges, graphs.bias))
        x = x * graphs.mask[..., None]
        return x, (x * masked_mean(graphs.mask)).sum(-2)


class _Attention(nn.Module):
    def __init__(self, inputs: int, edge_features: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.project = Affine(inputs, heads * width)
        self.ends = Affine(heads * width, 2 * heads, bias=False)
        self.link = Affine(edge_features, heads, bias=False)
        self.message = nn.Parameter(torch.empty(heads, edge_features, width).uniform_(-1, 1) / max(edge_features, 1))

    def forward(self, x: torch.Tensor, edges: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        k, n, _ = x.shape
        x = cast(torch.Tensor, self.project(x))
        source, target = self.ends(x).split(self.heads, dim=-1)
        score = source[:, :, None] + target[:, None] + self.link(edges)
        weight = torch.softmax(nn.functional.leaky_relu(score, _SLOPE) + bias[..., None], dim=1)
        by_head = weight.permute(0, 3, 2, 1)
        nodes = by_head @ x.view(k, n, self.heads, self.width).transpose(1, 2)
        seen = torch.einsum("kijh,kije->khje", weight, edges) @ self.message
        return (nodes + seen).transpose(1, 2).reshape(k, n, -1)
