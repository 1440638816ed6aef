"""Batches of graph encodings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from po_nas import spaces
from po_nas.errors import EncodingError
from surrogates.encodings import Encodings
from tests.errors import raised


def graphs(name, count):
    space, rng = spaces.get(name), np.random.default_rng(0)
    return [space.encode_graph(space.sample(rng)) for _ in range(count)]


def test_stack_keeps_values_and_shapes():
    listed = graphs("transnas_macro", 5)
    found = Encodings.stack(listed, proxy_scores=np.ones((5, 2)))
    assert found.shape == (7, 6, 3, 2)
    assert len(found) == 5
    assert found.mask.dtype == torch.bool
    assert found.proxy_scores.dtype == torch.float32
    for part in ("nodes", "adjacency", "edges", "mask"):
        np.testing.assert_array_equal(getattr(found[3], part)[0].numpy(), getattr(listed[3], part))


@pytest.mark.parametrize("index", [2, -1, -3, slice(1, 4), torch.tensor([4, 0, 0])])
def test_index(index):
    found = Encodings.stack(graphs("nasbench101", 6), proxy_scores=torch.arange(6.0)[:, None])
    wanted = torch.arange(6)[index].reshape(-1)
    assert found[index].proxy_scores[:, 0].tolist() == wanted.tolist()
    assert torch.equal(found[index].nodes, found.nodes[wanted])


def test_to_a_device():
    given = Encodings.stack(graphs("nasbench201", 2), proxy_scores=torch.ones(2, 1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = given.to(device)
    assert {found.device.type, found.proxy_scores.device.type, found.mask.device.type} == {device}
    assert torch.equal(found.edges.cpu(), given.edges)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metrics_that_are_not_finite(value):
    with raised(EncodingError, "proxy_scores", "architecture 1"):
        Encodings.stack(graphs("nasbench201", 2), proxy_scores=torch.tensor([[0.0], [value]]))


def test_what_cannot_be_stacked():
    with pytest.raises(EncodingError):
        Encodings.stack([])
    with raised(EncodingError, "graph 2", "nodes"):
        Encodings.stack([*graphs("nasbench201", 2), *graphs("nasbench101", 1)])


@pytest.mark.parametrize("part", ["nodes", "adjacency", "edges", "mask", "proxy_scores"])
def test_wrong_shapes(part):
    good = Encodings.stack(graphs("nasbench201", 3), proxy_scores=torch.ones(3, 1))
    with raised(EncodingError, part, "(3,)"):
        replace(good, **{part: torch.ones(3)})
    if part != "nodes":
        with raised(EncodingError, part, tuple(getattr(good, part)[:2].shape), "(3"):
            replace(good, **{part: getattr(good, part)[:2]})
