from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from po_nas import benchmarks, networks, spaces
from po_nas.networks.darts import DropPath
from proxies.counting import count_operations, count_parameters
from tests.networks.sampling import architecture, meta

V2 = spaces.get("darts").from_string(
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, 3_349_342), ({"stem": "imagenet"}, 4_718_752)],
    ids=["cifar", "imagenet"],
)
def test_parameters_of_the_published_genotype(options, wanted):
    """The paper's 3.3 M and 4.7 M, to the digits that the authors' code prints; the auxiliary head is not counted."""
    plain, helped = (networks.build(V2, auxiliary=a, device="meta", **options) for a in (False, True))
    assert count_parameters(plain) == wanted
    assert count_parameters(helped) - count_parameters(helped.auxiliary) == wanted


def check_rows(public_data, count, seed):
    public_data("nasbench301_sample")
    benchmark = benchmarks.get("nasbench301/cifar10")
    params, flops = (np.round(benchmark.extras[name] * 1e6) for name in ("params", "flops"))
    for row in np.random.default_rng(seed).choice(len(params), count, replace=False).tolist():
        network = networks.build(benchmark.rows.architecture(row), channels=32, cells=8, affine=False, device="meta")
        counted = count_operations(network, meta(1, 3, 32, 32), convention="suite_zero").total
        assert (count_parameters(network), counted) == (params[row], flops[row])


def test_sizes_are_those_listed_for_nasbench301(public_data):
    check_rows(public_data, 3, 0)


@pytest.mark.slow
def test_sizes_are_those_listed_for_nasbench301_for_many(public_data):
    check_rows(public_data, 150, 1)


@pytest.mark.parametrize(("stem", "size"), [("cifar", 32), ("imagenet", 224)])
def test_the_auxiliary_head_speaks_in_training_only(stem, size):
    network = networks.build(V2, stem=stem, channels=4, cells=3, num_classes=5, auxiliary=True, device="meta")
    logits, side = network.train()(meta(2, 3, size, size))
    assert logits.shape == side.shape == (2, 5)
    assert network.eval()(meta(2, 3, size, size)).shape == (2, 5)


def test_reductions_stand_at_one_and_two_thirds():
    network = networks.build(V2, channels=4)
    sizes = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:3])))
    network.eval()(torch.zeros(1, 3, 32, 32))
    assert sizes == [(16, 32)] * 6 + [(32, 16)] * 7 + [(64, 8)] * 7


def test_odd_sizes_work():
    network = networks.build(V2, channels=4, cells=4, num_classes=3)
    assert network(torch.zeros(2, 3, 13, 13)).shape == (2, 3)


def test_drop_path_drops_whole_maps_and_keeps_the_mean():
    layer = DropPath(0.25)
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3, 3)
    dropped = layer(x)
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (dropped.flatten(1).amin(1) == dropped.flatten(1).amax(1)).all()
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(layer.eval()(x), x)


def test_a_schedule_of_drop_path_compiles_a_network_once():
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    layer = DropPath(0.1).train()
    fast = torch.compile(layer, backend=backend)
    for probability in (0.1, 0.2, 0.3, 0.4, 0.5):
        layer.probability = probability
        kept = fast(torch.ones(64, 1, 1, 1)).unique()
        assert kept.tolist() == pytest.approx([0, 1 / (1 - probability)])
    assert len(compiled) == 1


def test_drop_path_spares_identities_and_can_be_changed():
    network = networks.build(V2, channels=4, cells=3, num_classes=3, drop_path=0.5)
    layers = [m for m in network.modules() if isinstance(m, DropPath)]
    identities = sum(isinstance(op, nn.Identity) for cell in network.cells for op in cell.operations)
    assert len(layers) == 24 - identities
    assert {layer.probability for layer in layers} == {0.5}
    network.set_drop_path(0.1)
    assert {layer.probability for layer in layers} == {0.1}
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    first = network(images)
    assert not torch.equal(network(images), first)
    torch.manual_seed(0)
    assert torch.equal(network(images), first)


def test_a_cell_spelt_out():
    code = V2.code[0]
    network = networks.build(V2, channels=4, cells=3, num_classes=3).eval()
    cell = network.cells[0]
    generator = torch.Generator().manual_seed(0)
    older, newer = (torch.randn(2, 12, 6, 6, generator=generator) for _ in range(2))
    states = [cell.inputs[0](older), cell.inputs[1](newer)]
    position = 0
    for node in code:
        total = 0
        for source, _ in node:
            total = total + cell.operations[position](states[source])
            position += 1
        states.append(total)
    torch.testing.assert_close(cell(older, newer), torch.cat(states[2:], 1))


@pytest.mark.parametrize("which", range(4))
def test_random_cells_halve_consistently(which):
    """Strided operations and factorised reductions agree on the size of maps, odd ones too."""
    network = networks.build(architecture("darts", which), stem="imagenet", channels=4, cells=4, num_classes=3)
    assert network.eval()(torch.zeros(1, 3, 50, 50)).shape == (1, 3)
