"""The encoder: what it must not see, what it must, and which way messages go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from surrogates.encodings import Encodings
from surrogates.fusion.encoder import GraphEncoder
from surrogates.isolation import seeded

from .conftest import encodings


def encode(inputs, **options):
    with seeded(0), torch.no_grad():
        encoder = GraphEncoder(inputs.shape, **options)
        return encoder(encoder.prepare(inputs))


@pytest.mark.parametrize("space", ["nasbench201", "transnas_macro", "nasbench101", "darts"])
def test_padding_does_not_matter(space):
    inputs = encodings(space, 5)
    padding = ~inputs.mask
    touched = padding[:, :, None] | padding[:, None, :]
    dirty = replace(
        inputs,
        nodes=inputs.nodes + 9 * padding[..., None],
        adjacency=torch.where(touched, 1.0, inputs.adjacency),
        edges=torch.where(touched[..., None], 5.0, inputs.edges),
    )
    clean = encode(inputs)
    for found, expected in zip(encode(dirty), clean, strict=True):
        torch.testing.assert_close(found, expected)
    nodes, pooled = clean
    assert nodes.shape == (*inputs.mask.shape, 128)
    assert pooled.shape == (5, 128)
    assert not nodes[padding].any()
    torch.testing.assert_close(pooled, nodes.sum(1) / inputs.mask.sum(1, keepdim=True))


def test_messages_go_from_source_to_target():
    """On a path 0 → 1 → 2 → 3, changing node 1 reaches 2 and 3 in two layers, and never 0."""
    adjacency = torch.diag(torch.ones(3), 1)[None]
    nodes = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    one = Encodings(nodes, adjacency, adjacency[..., None].expand(-1, -1, -1, 2), torch.ones(1, 4, dtype=torch.bool))
    moved = nodes.clone()
    moved[0, 1] += 1
    before, after = encode(one)[0], encode(replace(one, nodes=moved))[0]
    changed = (before != after).any(-1)[0].tolist()
    assert changed == [False, True, True, True]
    moved = nodes.clone()
    moved[0, 0] += 1
    after = encode(replace(one, nodes=moved))[0]
    assert (before != after).any(-1)[0].tolist() == [True, True, True, False]


def test_the_features_of_an_edge_matter_at_its_target_alone():
    inputs = encodings()[:1]
    edges = inputs.edges.clone()
    edges[0, 0, 3] = edges[0, 0, 3].roll(1)
    before, after = encode(inputs, layers=1)[0], encode(replace(inputs, edges=edges), layers=1)[0]
    assert (before != after).any(-1)[0].tolist() == [False, False, False, True]


def test_other_architectures_do_not_matter():
    inputs = encodings()
    together, _ = encode(inputs)
    torch.testing.assert_close(encode(inputs[7:9])[0], together[7:9])
