"""Features of a cell's graph: what can be said of an architecture without building its network.

In the manner of GRAF: counts of operations, shortest paths over subsets of them, degrees. Computed on an operation
graph, whose nodes are operations, so that all search spaces look the same.

References: Kadlecová et al., Surprisingly Strong Performance Prediction with Neural Graph Features, ICML 2024,
arXiv 2404.16551.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

from po_nas.errors import ConfigError

__all__ = ["NO_PATH", "LabelledGraph", "graph_features"]

NO_PATH = 100.0
"""Length of a shortest path that does not exist."""

_MOST_SUBSETS = 1024


class LabelledGraph(Protocol):
    """A directed acyclic graph in topological order, one operation a node.

    Nodes whose label starts with ``"input"`` are the inputs, the node labelled ``"output"`` is the output. `edges` are
    pairs (i, j), i < j. `po_nas.spaces.OperationGraph` is one.
    """

    @property
    def labels(self) -> Sequence[str]:
        """The operation of each node."""

    @property
    def edges(self) -> Sequence[tuple[int, int]]:
        """Pairs (from, to)."""


def graph_features(
    graph: LabelledGraph, operations: Sequence[str], *, subset_size: int | None = None
) -> dict[str, float]:
    """Features by name; the names depend on `operations` and `subset_size` alone.

    ``count[o]``: how often; ``min_path[a+b]``: fewest operations on a way from an input to the output that uses
    operations of the subset alone, 100 without one, for all subsets of at most `subset_size` operations and for all of
    them together; ``max_path[o]``: most of one operation on any way; ``in_degree[o]``, ``out_degree[o]``: edges into
    and out of its nodes; ``from_input[o]``, ``to_output[o]``: how many of its nodes the inputs feed, and feed the
    output; ``nodes``, ``edges``, ``depth`` (operations on the longest way).

    Args:
        graph: One architecture, such as `po_nas.OperationGraph`.
        operations: All labels that an architecture of the space may have.
        subset_size: Size of the largest subsets; None: all of them.

    Returns:
        Numbers by name.

    Raises:
        ConfigError: For a label that is not among `operations`, and for more than 1,024 subsets.

    Examples:
        >>> import po_nas, proxies
        >>> graph = po_nas.OperationGraph(("input", "conv", "conv", "output"), ((0, 1), (1, 2), (2, 3)))
        >>> features = proxies.graph_features(graph, ["conv", "pool"])
        >>> features["count[conv]"], features["depth"], features["min_path[pool]"]
        (2.0, 2.0, 100.0)
    """
    inside = {k: label for k, label in enumerate(graph.labels) if label != "output" and not label.startswith("input")}
    for label in inside.values():
        if label not in operations:
            raise ConfigError("operations", label, f"of the graph is not among {', '.join(operations)}")
    ways = _Ways(graph)
    features = {
        "nodes": float(len(inside)),
        "edges": float(len(graph.edges)),
        "depth": ways.longest(set(inside)),
    }
    for operation in operations:
        nodes = {k for k, label in inside.items() if label == operation}
        features[f"count[{operation}]"] = float(len(nodes))
        features[f"max_path[{operation}]"] = ways.longest(nodes)
        features[f"in_degree[{operation}]"] = float(sum(j in nodes for _, j in graph.edges))
        features[f"out_degree[{operation}]"] = float(sum(i in nodes for i, _ in graph.edges))
        features[f"from_input[{operation}]"] = float(len({j for i, j in graph.edges if i in ways.inputs} & nodes))
        features[f"to_output[{operation}]"] = float(len({i for i, j in graph.edges if j in ways.outputs} & nodes))
    for subset in _subsets(operations, subset_size):
        nodes = {k for k, label in inside.items() if label in subset}
        features[f"min_path[{'+'.join(subset)}]"] = ways.shortest(nodes)
    return features


def _subsets(operations: Sequence[str], size: int | None) -> Iterator[tuple[str, ...]]:
    largest = len(operations) if size is None else min(size, len(operations))
    sizes = [*range(1, largest + 1), *([len(operations)] if largest < len(operations) else [])]
    subsets = [subset for k in sizes for subset in itertools.combinations(operations, k)]
    if len(subsets) > _MOST_SUBSETS:
        raise ConfigError(
            "subset_size", size, f"gives {len(subsets)} subsets of {len(operations)} operations; lower it"
        )
    return iter(subsets)


class _Ways:
    """Ways from the inputs to the output."""

    def __init__(self, graph: LabelledGraph) -> None:
        self.inputs = {k for k, label in enumerate(graph.labels) if label.startswith("input")}
        self.outputs = {k for k, label in enumerate(graph.labels) if label == "output"}
        self._before: list[list[int]] = [[] for _ in graph.labels]
        for i, j in graph.edges:
            self._before[j].append(i)

    def shortest(self, allowed: set[int]) -> float:
        """Fewest nodes on a way through `allowed` ones alone."""
        length: dict[int, float] = {}
        for node, before in enumerate(self._before):
            if node in self.inputs:
                length[node] = 0.0
            elif node in allowed or node in self.outputs:
                reached = [length[k] for k in before if k in length]
                if reached:
                    length[node] = min(reached) + (node in allowed)
        return min((length[k] for k in self.outputs if k in length), default=NO_PATH)

    def longest(self, counted: set[int]) -> float:
        """Most `counted` nodes on any way; 0 without a way."""
        length: dict[int, float] = {}
        for node, before in enumerate(self._before):
            reached = [length[k] for k in before if k in length]
            if node in self.inputs:
                length[node] = 0.0
            elif reached:
                length[node] = max(reached) + (node in counted)
        return max((length[k] for k in self.outputs if k in length), default=0.0)
