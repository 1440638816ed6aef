from __future__ import annotations

import itertools

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import ConfigError
from po_nas.spaces import OperationGraph
from proxies import graph_features
from proxies.cell_features import NO_PATH
from tests.errors import raised


def ways(graph):
    """Every way from an input to the output, by brute force, as the labels between them."""
    after = {}
    for i, j in graph.edges:
        after.setdefault(i, []).append(j)

    def walk(node, seen):
        if graph.labels[node] == "output":
            yield seen
            return
        for following in after.get(node, []):
            label = graph.labels[following]
            yield from walk(following, seen if label == "output" else [*seen, label])

    for start, label in enumerate(graph.labels):
        if label.startswith("input"):
            yield from walk(start, [])


def naive(graph, operations, size):
    every = list(ways(graph))
    nodes = [label for label in graph.labels if label != "output" and not label.startswith("input")]
    features = {"nodes": len(nodes), "edges": len(graph.edges), "depth": max(map(len, every), default=0)}
    for o in operations:
        features[f"count[{o}]"] = nodes.count(o)
        features[f"max_path[{o}]"] = max((way.count(o) for way in every), default=0)
        features[f"in_degree[{o}]"] = sum(graph.labels[j] == o for _, j in graph.edges)
        features[f"out_degree[{o}]"] = sum(graph.labels[i] == o for i, _ in graph.edges)
        fed = {j for i, j in graph.edges if graph.labels[i].startswith("input") and graph.labels[j] == o}
        feeding = {i for i, j in graph.edges if graph.labels[j] == "output" and graph.labels[i] == o}
        features[f"from_input[{o}]"], features[f"to_output[{o}]"] = len(fed), len(feeding)
    sizes = [k for k in range(1, len(operations) + 1) if k <= size or k == len(operations)]
    for subset in itertools.chain.from_iterable(itertools.combinations(operations, k) for k in sizes):
        lengths = [len(way) for way in every if set(way) <= set(subset)]
        features[f"min_path[{'+'.join(subset)}]"] = min(lengths, default=NO_PATH)
    return features


@pytest.mark.parametrize(
    ("name", "size"),
    [("nasbench201", 4), ("nasbench101", 3), ("darts", 1), ("transnas_macro", 2), ("transnas_micro", 3)],
)
def test_features_are_those_found_by_brute_force(name, size):
    space, rng = spaces.get(name), np.random.default_rng(0)
    graphs = [space.operation_graph(space.sample(rng)) for _ in range(8)]
    operations = sorted(
        {label for g in graphs for label in g.labels if label != "output" and not label.startswith("input")}
    )
    for graph in graphs:
        limit = None if size >= len(operations) else size
        assert graph_features(graph, operations, subset_size=limit) == naive(graph, operations, size)


def test_network_without_a_way():
    graph = OperationGraph(("input", "output"), ())
    features = graph_features(graph, ["a", "b"])
    assert features["min_path[a]"] == features["min_path[a+b]"] == NO_PATH
    assert features["depth"] == 0
    assert list(features) == list(
        graph_features(OperationGraph(("input", "a", "output"), ((0, 1), (1, 2))), ["a", "b"])
    )


def test_mistakes():
    graph = OperationGraph(("input", "c", "output"), ((0, 1), (1, 2)))
    with raised(ConfigError, "a, b", key="operations", value="c"):
        graph_features(graph, ["a", "b"])
    with raised(ConfigError, "12", key="subset_size"):
        graph_features(graph, [*"abcdefghijkl"])
    assert len(graph_features(graph, [*"abcdefghijkl"], subset_size=1)) > 50
