"""The networks of NAS-Bench-101."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from po_nas import spaces
from po_nas.networks.base import Networks, positive
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench101 import NASBench101Space
from proxies.blocks import block

__all__ = ["NETWORKS", "NASBench101Network", "vertex_channels"]

_Matrix = Sequence[Sequence[int]]


def vertex_channels(inputs: int, outputs: int, adjacency: _Matrix) -> list[int]:
    """Channels of each vertex of a cell without dead vertices, by the rule of the paper's supplement S1.

    The vertices whose results are concatenated to the output share its channels evenly, the first ones taking what is
    left over; every other one has as many as the widest vertex that it feeds.
    """
    last = len(adjacency) - 1
    channels = [inputs, *[0] * (last - 1), outputs]
    into_output = [v for v in range(1, last) if adjacency[v][last]]
    for k, v in enumerate(into_output):
        channels[v] = outputs // len(into_output) + (k < outputs % len(into_output))
    for v in reversed(range(1, last)):
        if not channels[v]:
            channels[v] = max(channels[target] for target in range(v + 1, last) if adjacency[v][target])
    return channels


class NASBench101Network(nn.Module):
    """Stem, three stacks of three equal cells with max pooling between them, classifier.

    Images (b, in_channels, h, w), h and w of at least 4, to logits (b, num_classes). Later stacks have twice the
    channels of the one before; `channels` are the stem's. Batch normalisation has momentum 0.003 in torch's sense and ε
    = 1e-5, as published. Initial weights are torch's defaults; the benchmark's were truncated normals of the same order
    of size. Vertices that lie on no path from the input to the output are no part of the network.

    References: Ying et al., NAS-Bench-101, ICML 2019, arXiv 1902.09635.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        channels: int = 128,
        stacks: int = 3,
        cells: int = 3,
    ) -> None:
        positive(num_classes=num_classes, in_channels=in_channels, channels=channels, stacks=stacks, cells=cells)
        super().__init__()
        space = cast(NASBench101Space, spaces.get("nasbench101"))
        adjacency, operations = space.to_matrix(architecture)
        self.stem = block(_conv_bn_relu(in_channels, channels, 3))
        body: list[nn.Module] = []
        width = channels
        for stack in range(stacks):
            if stack:
                body.append(nn.MaxPool2d(2))
            for cell in range(cells):
                outputs = 2 * width if stack and not cell else width
                body.append(block(_Cell(adjacency, operations, width, outputs)))
                width = outputs
        self.body = nn.Sequential(*body)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_classes) of images (b, in_channels, h, w)."""
        logits: Tensor = self.classifier(self.pool(self.body(self.stem(x))).flatten(1))
        return logits


class _Cell(nn.Module):
    """(b, inputs, h, w) to (b, outputs, h, w).

    A vertex sums the vertices that feed it, cut to its channels, and a 1 x 1 projection of the cell's input where that
    feeds it. The output concatenates, and adds a projection of the input where that feeds it directly.
    """

    def __init__(self, adjacency: _Matrix, operations: Sequence[str], inputs: int, outputs: int) -> None:
        super().__init__()
        channels = vertex_channels(inputs, outputs, adjacency)
        last = len(channels) - 1
        self.channels = channels
        self.feeds = [[v for v in range(1, t) if adjacency[v][t]] for t in range(last + 1)]
        self.projections = nn.ModuleDict(
            {str(t): _conv_bn_relu(inputs, channels[t], 1) for t in range(1, last + 1) if adjacency[0][t]}
        )
        self.operations = nn.ModuleList(_operation(operations[v], channels[v]) for v in range(1, last))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the cell."""
        values = [x]
        for vertex, operation in enumerate(self.operations, 1):
            width = self.channels[vertex]
            terms = [values[v][:, :width] for v in self.feeds[vertex]]
            values.append(operation(self._sum(x, vertex, terms)))
        parts = [values[v] for v in self.feeds[-1]]
        return self._sum(x, len(self.channels) - 1, [torch.cat(parts, dim=1)] if parts else [])

    def _sum(self, x: Tensor, vertex: int, terms: list[Tensor]) -> Tensor:
        if str(vertex) in self.projections:
            terms = [*terms, self.projections[str(vertex)](x)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def _conv_bn_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs, momentum=0.003), nn.ReLU())


def _operation(name: str, channels: int) -> nn.Module:
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, 1, 1)
    return _conv_bn_relu(channels, channels, 3 if name == "conv3x3-bn-relu" else 1)


NETWORKS = Networks(NASBench101Network, smallest=lambda options: 4)
