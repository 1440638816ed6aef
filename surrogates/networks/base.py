"""What a predictor network is: an encoder of graphs and a head, trainable as one of many."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import nn

from surrogates.encodings import Encodings, Shape

__all__ = ["Affine", "Head", "Network", "NetworkFactory", "masked_mean", "operation_nodes", "operation_shape"]


class Network(nn.Module, ABC):
    """Predicts one number for each architecture.

    A subclass takes a `Shape` and its own options as keywords, calls ``super().__init__(width, dropout)``, sets `head`
    (usually a `Head`), and implements `prepare` and `encode`. Many of them are trained as one model: parameters are
    stacked and the network runs under ``torch.func.vmap``, so it must not branch on values nor have buffers that change
    (no BatchNorm). `width` is the size of an embedding, `dropout` the probability with which each of its entries is
    dropped; the masks come from the trainer, out of a generator of each member, so that the global generator is left
    out of it and a member trained with others is the member trained alone.
    """

    batched: ClassVar[bool] = False
    """Whether `encode` and `head` also take parameters and inputs with a leading dimension of members.

    They do when all they use are `Affine`, matrix products and operations on trailing dimensions. They are then run
    without `vmap`, which costs more than the arithmetic of a small network.
    """
    last_layer: ClassVar[str] = "head.last"
    """Name of the layer that is made afresh when the outputs get another meaning."""
    rate: ClassVar[float] = 1.0
    """Factor of the loss's learning rate."""

    head: nn.Module

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout

    @abstractmethod
    def prepare(self, inputs: Encodings) -> tuple[torch.Tensor, ...]:
        """What `encode` needs of k architectures, each tensor (k, …), computed once and not for every batch."""

    @abstractmethod
    def encode(self, *prepared: torch.Tensor) -> torch.Tensor:
        """Embeddings (k, width) of prepared architectures."""

    def forward(
        self, prepared: tuple[torch.Tensor, ...], proxy_scores: torch.Tensor | None, keep: torch.Tensor | None
    ) -> torch.Tensor:
        """Predictions (k,).

        `proxy_scores` (k, p), of about unit variance, join the embedding; `keep` (k, width) is 0 or 1 / (1 - dropout).
        """
        embedding = self.encode(*prepared)
        if keep is not None:
            embedding = embedding * keep
        if proxy_scores is not None:
            embedding = torch.cat([embedding, proxy_scores], dim=-1)
        return cast(torch.Tensor, self.head(embedding)).squeeze(-1)


NetworkFactory = Callable[[Shape], Network]
"""Makes a freshly initialised network for encodings of a shape; it draws from torch's global generator."""


class Affine(nn.Module):
    """A linear layer whose weight is (inputs, outputs): (…, rows, inputs) to (…, rows, outputs).

    With a leading dimension of members in weight and bias it is one batched product, gradients included, without a
    transposed copy; `nn.Linear` is not. Initialised like it.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(inputs, 1))
        self.weight = nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.bias is None:
            return x @ self.weight
        if self.weight.ndim == x.ndim == 3:
            return torch.baddbmm(self.bias.unsqueeze(-2), x, self.weight)
        return (x @ self.weight).add_(self.bias.unsqueeze(-2))


class Head(nn.Module):
    """Three linear layers with SiLU between them: (…, k, inputs) to (…, k, 1)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first = Affine(inputs, width)
        self.second = Affine(width, width)
        self.last = Affine(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.silu(self.first(x))
        x = nn.functional.silu(self.second(x))
        return cast(torch.Tensor, self.last(x))


def masked_mean(mask: torch.Tensor) -> torch.Tensor:
    """Weights (k, n, 1) that turn a sum over nodes into the mean over the real ones of a mask (k, n)."""
    return (mask / mask.sum(-1, keepdim=True).clamp_min(1)).unsqueeze(-1)


def operation_shape(shape: Shape) -> int:
    """Number of node features of `operation_nodes` for encodings of a shape."""
    return shape.node_features if shape.edge_features <= 1 else 2 * shape.node_features + shape.edge_features


def operation_nodes(inputs: Encodings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Node features (k, m, g), adjacency (k, m, m) and mask (k, m) of graphs whose nodes carry the operations.

    Encodings with at most one edge feature are returned as they are. Where edges have several features (cell spaces
    with an operation on each edge) the result is the line graph: each edge becomes a node, described by the features of
    its source, of its target and its own, and the edge i → j feeds every edge that leaves j. m is then the largest
    number of edges among the k graphs; padding has mask false and features zero.
    """
    mask = inputs.mask.float()
    nodes = inputs.nodes * mask[:, :, None]
    adjacency = inputs.adjacency * mask[:, :, None] * mask[:, None, :]
    if inputs.shape.edge_features <= 1:
        return nodes, adjacency, inputs.mask
    k, n, _ = nodes.shape
    graph, source, target = (adjacency > 0).nonzero(as_tuple=True)
    count = torch.bincount(graph, minlength=k)
    most = max(int(count.max()), 1)
    first = count.cumsum(0) - count
    slot = torch.arange(len(graph), device=graph.device) - first[graph]

    features = torch.cat([nodes[graph, source], nodes[graph, target], inputs.edges[graph, source, target]], dim=-1)
    lifted = nodes.new_zeros(k, most, features.shape[-1])
    lifted[graph, slot] = features
    real = torch.zeros(k, most, dtype=torch.bool, device=nodes.device)
    real[graph, slot] = True
    # An end that no edge has: padding meets nothing.
    ends = torch.full((2, k, most), n, device=nodes.device)
    ends[1] += 1
    ends[0, graph, slot], ends[1, graph, slot] = target, source
    follows = (ends[0][:, :, None] == ends[1][:, None, :]).float()
    return lifted, follows, real
