"""The predictor networks on their own: what they must not see, and what they must."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from po_nas import spaces
from po_nas.errors import ConfigError, UnknownNameError
from surrogates import networks
from surrogates.encodings import Encodings
from surrogates.isolation import seeded, single_thread
from surrogates.networks.base import operation_nodes, operation_shape
from surrogates.stack import Stack
from tests.errors import raised

GRAPH_NETWORKS = ("gcn", "gat", "pinat")
SPACES = ("transnas_macro", "nasbench101", "darts")


@pytest.fixture(autouse=True)
def _one_thread():
    with single_thread():
        yield


def encodings(name, count=5):
    space, rng = spaces.get(name), np.random.default_rng(1)
    return Encodings.stack(space.encode_graph(space.sample(rng)) for _ in range(count))


def outputs(name, inputs, shape=None):
    with seeded(0), torch.no_grad():
        network = networks.factory(name, width=16)(shape or inputs.shape)
        return network(network.prepare(inputs), None, None)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", networks.names())
def test_padding_does_not_matter(name, space):
    inputs = encodings(space)
    padding = ~inputs.mask
    touched = padding[:, :, None] | padding[:, None, :]
    dirty = replace(
        inputs,
        nodes=inputs.nodes + 9 * padding[..., None],
        adjacency=torch.where(touched, 1.0, inputs.adjacency),
        edges=torch.where(touched[..., None], 5.0, inputs.edges),
    )
    assert space == "darts" or not torch.equal(dirty.nodes, inputs.nodes)
    torch.testing.assert_close(outputs(name, dirty), outputs(name, inputs))


@pytest.mark.parametrize("name", GRAPH_NETWORKS)
def test_more_padding_does_not_matter(name):
    inputs = encodings("nasbench101")
    pad = torch.nn.functional.pad
    wider = Encodings(
        pad(inputs.nodes, (0, 0, 0, 2)),
        pad(inputs.adjacency, (0, 2, 0, 2)),
        pad(inputs.edges, (0, 0, 0, 2, 0, 2)),
        pad(inputs.mask, (0, 2)),
    )
    torch.testing.assert_close(outputs(name, wider, inputs.shape), outputs(name, inputs))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", GRAPH_NETWORKS)
def test_numbering_of_nodes_does_not_matter(name, space):
    inputs = encodings(space)
    order = torch.randperm(inputs.shape.nodes, generator=torch.Generator().manual_seed(0))
    shuffled = Encodings(
        inputs.nodes[:, order],
        inputs.adjacency[:, order][:, :, order],
        inputs.edges[:, order][:, :, order],
        inputs.mask[:, order],
    )
    torch.testing.assert_close(outputs(name, shuffled), outputs(name, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", networks.names())
def test_direction_and_operations_matter(name):
    """No two different cells of a small neighbourhood look alike, nor does a graph with its edges turned round."""
    space = spaces.get("nasbench201")
    cell = space.from_string("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|")
    near = Encodings.stack(space.encode_graph(a) for a in [cell, *space.neighbours(cell)])
    assert len(outputs(name, near).unique()) == len(near)
    inputs = encodings("nasbench101")
    turned = replace(inputs, adjacency=inputs.adjacency.mT.contiguous())
    assert (outputs(name, turned) - outputs(name, inputs)).abs().max() > 1e-4


@pytest.mark.parametrize("space", ["nasbench201", "nasbench101"])
@pytest.mark.parametrize("name", networks.names())
def test_stacked_vmapped_and_alone_agree(name, space, monkeypatch):
    inputs = replace(encodings(space), proxy_scores=torch.randn(5, 2))
    make = networks.factory(name, width=16)
    stack = Stack(make, inputs.shape, [1, 2, 3], inputs.device)
    prepared = stack.network.prepare(inputs)
    metrics, keep = torch.randn(3, 5, 2), torch.rand(3, 5, 16)
    alone = []
    for member, seed in enumerate((1, 2, 3)):
        with seeded(seed):
            alone.append(make(inputs.shape)(prepared, metrics[member], keep[member]))
    wanted = torch.stack(alone)
    each = tuple(tensor.expand(3, *tensor.shape) for tensor in prepared)
    for batched in (True, False):
        monkeypatch.setattr(type(stack.network), "batched", batched)
        for tensors, shared in ((prepared, True), (each, False)):
            found = stack(stack.split(stack.initial), tensors, metrics, keep, shared=shared)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", networks.names())
def test_the_last_layer_is_found(name):
    inputs = encodings("nasbench101")
    stack = Stack(networks.factory(name, width=16), inputs.shape, [0], inputs.device)
    values = stack.initial.clone()
    for part in stack.last_layer:
        values[:, part] = 0.0
    found = stack(stack.split(values), stack.network.prepare(inputs), None, None, shared=True)
    assert found.tolist() == [[0.0] * 5]


def test_operations_on_edges_become_nodes():
    nodes = torch.tensor([[[1.0], [2.0], [3.0]]] * 2)
    adjacency = torch.tensor([[[0.0, 1, 1], [0, 0, 1], [0, 0, 0]], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]])
    edges = adjacency[..., None] * torch.tensor([10.0, 20.0])
    inputs = Encodings(nodes, adjacency, edges, torch.ones(2, 3, dtype=torch.bool))
    found, follows, mask = operation_nodes(inputs)
    # edges in the order 0 → 1, 0 → 2, 1 → 2: features of source, target, edge
    assert found[0].tolist() == [[1, 2, 10, 20], [1, 3, 10, 20], [2, 3, 10, 20]]
    assert follows[0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert found[1].tolist() == [[1, 3, 10, 20], [0] * 4, [0] * 4]
    assert follows[1].sum() == 0
    assert mask.tolist() == [[True] * 3, [True, False, False]]
    assert operation_shape(inputs.shape) == 4


def test_a_graph_without_edges():
    zero = torch.zeros(1, 3, 3)
    inputs = Encodings(torch.ones(1, 3, 2), zero, torch.zeros(1, 3, 3, 2), torch.ones(1, 3, dtype=torch.bool))
    for name in networks.names():
        assert torch.isfinite(outputs(name, inputs)).all()


def test_registry():
    assert {"mlp", "gcn", "gat", "pinat"} <= set(networks.names())
    assert networks.options("gcn") == {"width": 64, "layers": 2, "dropout": 0.0}
    with raised(UnknownNameError, name="gcm", suggestion="gcn"):
        networks.factory("gcm")
    with raised(ConfigError, "'width'", key="gcn.widht", value=3):
        networks.factory("gcn", widht=3)
    with raised(ConfigError, key="gcn.width", value=5):
        networks.factory("gcn", width=5)(encodings("nasbench101").shape)
    assert isinstance(networks.factory("mlp"), partial)
