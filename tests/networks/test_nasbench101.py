from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas import networks, spaces
from po_nas.benchmarks import data
from po_nas.benchmarks.data.nasbench101 import unpack
from po_nas.networks.nasbench101 import vertex_channels
from proxies.counting import count_parameters
from tests.networks.sampling import SMALL, inputs

SPACE = spaces.get("nasbench101")
CONV1, CONV3, POOL = "conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3"


def check_rows(public_data, rows):
    public_data("nasbench101_sample")
    columns = data.table("nasbench101_sample", "this test").read(["graph", "params"])
    for graph, params in zip(columns["graph"][rows].tolist(), columns["params"][rows], strict=True):
        assert count_parameters(networks.build(unpack(graph), device="meta")) == params


def test_parameters_are_the_published_ones(public_data):
    check_rows(public_data, np.random.default_rng(0).choice(30_001, 12, replace=False))


@pytest.mark.slow
def test_parameters_are_the_published_ones_for_many(public_data):
    check_rows(public_data, np.random.default_rng(1).choice(30_001, 2_000, replace=False))


def test_parameters_of_a_cell_by_hand():
    """Input, one 3 x 3 convolution, output: in each cell a projection and a convolution, each with normalisation."""
    cell = SPACE.from_matrix([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["input", CONV3, "output"])
    wanted = 27 * 128 + 2 * 128 + 512 * 10 + 10
    for inputs_, outputs in [(128, 128)] * 3 + [(128, 256)] + [(256, 256)] * 2 + [(256, 512)] + [(512, 512)] * 2:
        wanted += inputs_ * outputs + 2 * outputs + 9 * outputs * outputs + 2 * outputs
    assert count_parameters(networks.build(cell, device="meta")) == wanted


@pytest.mark.parametrize(
    ("edges", "wanted"),
    [
        # One vertex into the output has all its channels.
        ([(0, 1), (1, 2)], [128, 256, 256]),
        # Two share them; of 257 the first takes the odd one.
        ([(0, 1), (0, 2), (1, 3), (2, 3)], [128, 128, 128, 256]),
        # A vertex that does not reach the output directly is as wide as the widest that it feeds.
        ([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)], [128, 128, 128, 128, 256]),
        ([(0, 1)], [128, 256]),
    ],
)
def test_channels_follow_the_rule(edges, wanted):
    n = len(wanted)
    adjacency = [[int((i, j) in edges) for j in range(n)] for i in range(n)]
    assert vertex_channels(128, wanted[-1], adjacency) == wanted


def test_leftover_channels_go_to_the_first_vertices():
    adjacency = [[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5]
    assert vertex_channels(8, 8, adjacency) == [8, 3, 3, 2, 8]


def test_a_cell_spelt_out():
    """Vertex 1 feeds 2 (cut to its channels) and the output; so does the input."""
    adjacency = [[0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    cell = SPACE.from_matrix(adjacency, ["input", CONV1, POOL, "output"])
    first = networks.build(cell, **SMALL["nasbench101"]).eval().body[0]
    x = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    one = first.operations[0](first.projections["1"](x))
    assert one.shape[1] == 4
    two = torch.nn.functional.max_pool2d(one[:, :4], 3, 1, 1)
    torch.testing.assert_close(first(x), torch.cat([one, two], 1) + first.projections["3"](x))


def test_the_shortest_cell_is_a_projection():
    cell = SPACE.from_matrix([[0, 1], [0, 0]], ["input", "output"])
    network = networks.build(cell, **SMALL["nasbench101"])
    assert network(*inputs("nasbench101")).shape == (4, 5)
    assert [list(part.projections) for part in network.body if hasattr(part, "projections")] == [["1"]] * 3
