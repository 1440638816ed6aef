from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas.errors import ConfigError
from proxies.synthetic_graph import synthetic_graph
from tests.errors import raised


def test_a_graph_is_a_function_of_its_arguments():
    first, again, other = (synthetic_graph(60, 4, 20, seed=seed) for seed in (0, 0, 1))
    assert first.inputs[0].shape == (60, 20)
    assert first.inputs[0].dtype == torch.float32
    assert first.labels.tolist()[:5] == [0, 1, 2, 3, 0]
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_edges_go_both_ways_and_mostly_within_classes():
    graph = synthetic_graph(400, 5, 20, degree=6, homophily=0.8, seed=2)
    source, target = graph.inputs[1].numpy()
    pairs = set(zip(source.tolist(), target.tolist(), strict=True))
    assert len(pairs) == len(source)
    assert all((t, s) in pairs and s != t for s, t in pairs)
    assert len(source) / 400 == pytest.approx(6, rel=0.1)
    labels = graph.labels.numpy()
    assert np.mean(labels[source] == labels[target]) == pytest.approx(0.8, abs=0.04)


def test_bags_of_words_tell_classes():
    graph = synthetic_graph(300, 3, 60, seed=1)
    bags, labels = graph.inputs[0].numpy(), graph.labels.numpy()
    np.testing.assert_allclose(bags.sum(axis=1), 1, rtol=1e-6)
    assert 0.03 < (bags > 0).mean() < 0.4
    means = np.array([bags[labels == c].mean(axis=0) for c in range(3)])
    assert np.mean((bags @ means.T).argmax(axis=1) == labels) > 0.8


@pytest.mark.parametrize(
    ("name", "value"),
    [("nodes", 0), ("num_classes", 0), ("features", 0), ("degree", -1), ("degree", 60), ("homophily", 1.1)],
)
def test_bad_sizes(name, value):
    with raised(ConfigError, key=name, value=value):
        synthetic_graph(**{"nodes": 60, "num_classes": 3, "features": 9} | {name: value})
