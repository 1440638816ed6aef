from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from po_nas import benchmarks, networks, spaces
from po_nas.spaces.cell import EDGES, live_edges
from proxies.counting import count_operations, count_parameters
from tests.networks.sampling import SMALL, inputs

SPACE = spaces.get("nasbench201")
CODES = st.tuples(*[st.integers(0, 4)] * 6)
SHAPES = {"cifar10": (10, 32), "cifar100": (100, 32), "imagenet16-120": (120, 16)}


def build(code, **options):
    return networks.build(SPACE.from_json({"space": SPACE.name, "code": list(code)}), **options)


def published(task):
    """Parameters and FLOPs (15625,) of the table."""
    extras = benchmarks.get(f"nasbench201/{task}").extras
    return np.round(extras["params"] * 1e6), np.round(extras["flops"] * 1e6)


def check_rows(task, rows):
    classes, size = SHAPES[task]
    params, flops = published(task)
    for row in rows:
        network = networks.build(SPACE.at(int(row)), num_classes=classes, dead_edges=True)
        counted = count_operations(network, torch.zeros(1, 3, size, size), convention="suite_zero").total
        assert (count_parameters(network), counted) == (params[row], flops[row]), SPACE.to_string(SPACE.at(int(row)))


@pytest.mark.parametrize("task", SHAPES)
def test_sizes_are_those_of_the_table(task):
    check_rows(task, np.random.default_rng(0).choice(15_625, 4, replace=False))


@pytest.mark.slow
@pytest.mark.parametrize("task", SHAPES)
def test_sizes_are_those_of_the_table_for_many(task):
    check_rows(task, np.random.default_rng(1).choice(15_625, 150, replace=False))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(5))
def test_sizes_of_all_cells(first):
    """One cell in a stage is built for each of the 15,625; the table's five have five times what it adds."""
    params, flops = published("cifar10")
    image = torch.zeros(1, 3, 32, 32)
    empty = build((0,) * 6, dead_edges=True)
    base = np.array([count_parameters(empty), count_operations(empty, image, convention="suite_zero").total])
    for rest in itertools.product(range(5), repeat=5):
        network = build((first, *rest), cells=1, dead_edges=True)
        one = np.array([count_parameters(network), count_operations(network, image, convention="suite_zero").total])
        row = SPACE.index(SPACE.from_json({"space": SPACE.name, "code": [first, *rest]}))
        assert (base + 5 * (one - base)).tolist() == [params[row], flops[row]]


def test_multiply_adds_are_those_of_the_benchmark():
    """The API prints 15.65 MB FLOPs and 0.129 MB parameters for this cell."""
    cell = SPACE.from_string(
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    network = networks.build(cell)
    assert count_operations(network, torch.zeros(1, 3, 32, 32)).total == 15_647_360
    assert count_parameters(network) == 129_306


@settings(max_examples=200, deadline=None)
@given(CODES)
def test_live_edges_are_those_on_paths(code):
    edges = dict(zip(EDGES, code, strict=True))
    on_paths = set()
    for path in [(0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)]:
        steps = list(itertools.pairwise(path))
        if all(edges[step] for step in steps):
            on_paths |= set(steps)
    assert live_edges(code) == tuple(edge in on_paths for edge in edges)


@settings(max_examples=15, deadline=None)
@given(CODES)
def test_dead_edges_hold_parameters_and_change_nothing(code):
    """Untrained, the network computes the same with and without them; gradients reach exactly the live ones."""
    (images,) = inputs("nasbench201")
    lean, full = (build(code, dead_edges=dead, **SMALL["nasbench201"]) for dead in (False, True))
    assert lean.state_dict().keys() == full.state_dict().keys()
    torch.testing.assert_close(lean(images), full(images))
    lean(images).sum().backward()
    live = {f"{i}_{j}" for (i, j), used in zip(EDGES, live_edges(code), strict=True) if used}
    for name, parameter in lean.named_parameters():
        if ".edges." in name:
            assert (parameter.grad is not None) == (name.split(".edges.")[1].split(".")[0] in live), name


def test_a_trained_dead_edge_matters_where_published():
    """0→1 is none, so 1→3 convolves zeros: nothing until the bias of its normalisation moves."""
    code = (0, 0, 0, 3, 3, 0)
    (images,) = inputs("nasbench201")
    lean, full = (build(code, dead_edges=dead, **SMALL["nasbench201"]).eval() for dead in (False, True))
    for network in (lean, full):
        with torch.no_grad():
            network.body[0].edges["1_3"][2].bias.fill_(1.0)
    assert not torch.allclose(lean(images), full(images))


def test_a_cell_without_a_path_ignores_the_image():
    network = build((0,) * 6, **SMALL["nasbench201"]).eval()
    first, second = inputs("nasbench201", 0)[0].requires_grad_(), inputs("nasbench201", 1)[0]
    assert torch.equal(network(first), network(second))
    (gradient,) = torch.autograd.grad(network(first).sum(), first)
    assert not gradient.any()


def test_cells_compute_the_sum_over_paths():
    """Node 3 of skip on 0→3, pool on 0→1, conv on 1→3, spelt out."""
    cell = build((4, 0, 0, 1, 3, 0), **SMALL["nasbench201"]).eval().body[0]
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    pooled = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    convolution, norm = cell.edges["1_3"][1:]
    wanted = x + norm(torch.nn.functional.conv2d(pooled.relu(), convolution.weight, padding=1))
    torch.testing.assert_close(cell(x), wanted)
