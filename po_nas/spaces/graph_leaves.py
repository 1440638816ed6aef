"""Features of an architecture's graph under names that all search spaces share, as leaves of formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.spaces.base import Architecture, OperationGraph, Space

__all__ = ["GRAPH_LEAVES", "graph_leaves"]

F64: TypeAlias = NDArray[np.float64]

GRAPH_LEAVES = ("g_nodes", "g_edges", "g_depth", "g_conv", "g_conv3", "g_skip", "g_pool", "g_conv_depth", "g_merge")
"""Operations; edges; operations on the longest way; convolutions, those of 3 x 3 and more, skip connections, poolings;
most convolutions on any way; edges into the output."""


def graph_leaves(space: Space, architectures: Sequence[Architecture]) -> dict[str, F64]:
    """The features (n,) of n architectures by name, for spaces whose operations are convolutions and the like.

    Modules of TransNAS-Bench-101's macro networks count as two convolutions of 3 x 3 each.
    """
    rows = [_features(space.operation_graph(architecture)) for architecture in architectures]
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(GRAPH_LEAVES))
    return {name: values[:, place].copy() for place, name in enumerate(GRAPH_LEAVES)}


_MODULES = ("plain", "double_channels", "downsample", "double_channels_downsample")


def _weights(label: str) -> tuple[int, int, int, int]:
    """Convolutions, those of 3 x 3 and more, skip connections and poolings in one operation."""
    if label in _MODULES:
        return 2, 2, 0, 0
    convolution = "conv" in label
    large = convolution and "1x1" not in label
    return int(convolution), int(large), int("skip" in label), int("pool" in label)


def _features(graph: OperationGraph) -> tuple[float, ...]:
    inside = [label != "output" and not label.startswith("input") for label in graph.labels]
    weights = [_weights(label) if own else (0, 0, 0, 0) for label, own in zip(graph.labels, inside, strict=True)]
    longest = [0] * len(graph.labels)
    convolved = [0] * len(graph.labels)
    # Edges are sorted here by their target, so every node is final before it is left.
    for i, j in sorted(graph.edges, key=lambda edge: edge[1]):
        longest[j] = max(longest[j], longest[i] + int(inside[j]))
        convolved[j] = max(convolved[j], convolved[i] + weights[j][0])
    last = len(graph.labels) - 1
    sums = [float(sum(w[k] for w in weights)) for k in range(4)]
    merged = sum(j == last for _, j in graph.edges)
    return (
        float(sum(inside)),
        float(len(graph.edges)),
        float(longest[last]),
        *sums,
        float(convolved[last]),
        float(merged),
    )
