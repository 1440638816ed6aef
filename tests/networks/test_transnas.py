from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas import networks, spaces
from po_nas.benchmarks import data
from po_nas.networks.transnas import TASKS
from proxies.counting import count_operations, count_parameters
from tests.networks.sampling import architecture as drawn
from tests.networks.sampling import meta

LEVELS = ("micro", "macro")
COUNTED = {"class_scene": 63, "class_object": 100}
"""Classes of the networks whose sizes NAS-Bench-Suite-Zero listed; the benchmark itself has 47 and 75."""


def check_rows(public_data, level, task, count, seed):
    public_data("transnasbench101")
    names = ["space", "arch", f"{task}_params_m", f"{task}_flops_m"]
    where, strings, *sizes = data.table("transnasbench101", "this test").read(names).values()
    params, flops = (np.round(size * 1e6) for size in sizes)
    image = meta(1, 9, 3, 64, 64) if task == "jigsaw" else meta(1, 3, 256, 256)
    options = {"dead_edges": True} if level == "micro" else {}
    known = np.flatnonzero(~np.isnan(params) & (where == level))
    for row in np.random.default_rng(seed).choice(known, count, replace=False).tolist():
        architecture = spaces.get(f"transnas_{level}").from_string(strings[row])
        network = networks.build(architecture, task=task, num_classes=COUNTED.get(task), device="meta", **options)
        counted = count_operations(network, image, convention="suite_zero")
        encoder = sum(n for name, n in counted.by_module.items() if name.startswith("encoder"))
        # The table counts the encoder once for the nine tiles.
        total = counted.total - encoder + encoder // 9 if task == "jigsaw" else counted.total
        assert (count_parameters(network), total) == (params[row], flops[row])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("level", LEVELS)
def test_sizes_are_the_listed_ones(public_data, level, task):
    check_rows(public_data, level, task, 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("level", LEVELS)
def test_sizes_are_the_listed_ones_for_many(public_data, level, task):
    check_rows(public_data, level, task, 25, 1)


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("class_scene", (2, 47)),
        ("class_object", (2, 75)),
        ("jigsaw", (2, 1000)),
        ("room_layout", (2, 9)),
        ("segmentsemantic", (2, 17, 32, 32)),
        ("normal", (2, 3, 32, 32)),
        ("autoencoder", (2, 3, 32, 32)),
    ],
)
def test_every_head_trains(task, shape):
    level = "macro" if task == "jigsaw" else "micro"
    network = networks.build(drawn(f"transnas_{level}", 2), task=task, channels=4)
    given = (2, 9, 3, 32, 32) if task == "jigsaw" else (2, 3, 32, 32)
    output = network.eval()(torch.randn(given, generator=torch.Generator().manual_seed(0)))
    assert output.shape == shape
    output.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.head.parameters())
    if task in ("normal", "autoencoder"):
        assert output.abs().max() <= 1


@pytest.mark.parametrize("halvings", [1, 2, 3, 4])
@pytest.mark.parametrize("task", ["segmentsemantic", "normal"])
def test_decoders_undo_every_halving(task, halvings):
    space = spaces.get("transnas_macro")
    network = space.from_string(f"64-{'3' * halvings}{'1' * (4 - halvings)}2-basic")
    built = networks.build(network, task=task, device="meta")
    assert built(meta(1, 3, 128, 128)).shape[2:] == (128, 128)


def test_a_reducing_cell_without_a_path_gives_zeros():
    cell = spaces.get("transnas_micro").from_string("64-41414-0_00_000")
    network = networks.build(cell, channels=4, num_classes=3)
    maps = network.encoder[3](torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0)))
    assert maps.shape == (2, 8, 5, 5)
    assert not maps.any()


def test_skips_halve_the_resolution_of_odd_maps():
    cell = spaces.get("transnas_micro").from_string("64-41414-0_00_100")
    network = networks.build(cell, channels=4, num_classes=3)
    maps = network.encoder[3](torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(0)))
    assert maps.shape == (2, 8, 5, 5)


def test_encoders_start_from_kaiming_normal():
    network = networks.build(drawn("transnas_macro", 0))
    weights = [m.weight for m in network.encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    for weight in weights[2:]:
        fan_out = weight.shape[0] * weight[0, 0].numel()
        assert float(weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
