"""Graphs with operations on their edges turned into graphs with operations on their nodes."""

from __future__ import annotations

import torch

from surrogates.encodings import Encodings, Shape

__all__ = ["operation_nodes", "operation_shape"]


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
