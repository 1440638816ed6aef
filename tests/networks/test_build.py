"""What holds for the networks of every space."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from po_nas import networks, spaces
from po_nas.errors import ConfigError, InvalidArchitectureError, RenamedWarning, UnknownNameError
from po_nas.networks.base import classes_of
from po_nas.spaces import Architecture
from po_nas.spaces.pool import PoolSpace
from proxies.counting import count_parameters
from tests.errors import raised
from tests.networks.sampling import IMAGES, SMALL, architecture, inputs


@pytest.fixture(params=list(SMALL))
def space(request):
    if "graph" in request.param:
        pytest.importorskip("torch_geometric")
    return request.param


def make(space, seed=0, which=0, **options):
    return networks.build(architecture(space, which), seed=seed, **SMALL[space], **options)


def test_every_space_has_networks():
    assert networks.names() == spaces.names()


@pytest.mark.parametrize("which", [0, 1])
def test_forward_backward_and_state(space, which):
    """Both modes give finite outputs, gradients reach the first layer, and weights alone make the function."""
    network, given = make(space, which=which), inputs(space)
    logits = network.train()(*given)
    assert logits.shape[:2] == (len(given[0]), 5)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert sum(float(g.abs().sum()) > 0 for g in gradients) >= 2

    with torch.no_grad():
        wanted = network.eval()(*given)
        other = make(space, seed=1, which=which).eval()
        assert not torch.equal(other(*given), wanted)
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        buffer.seek(0)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(other(*given), wanted)
        assert torch.equal(pickle.loads(pickle.dumps(network))(*given), wanted)


def test_seed_fixes_the_weights_and_nothing_else(space):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    first = make(space, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    second = make(space, seed=3)
    pairs = list(zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    other = make(space, seed=4).state_dict().values()
    assert any(not torch.equal(a, b) for a, b in zip(first.state_dict().values(), other, strict=True))


def test_a_generator_gives_one_seed_after_the_other():
    def weights(generator):
        return make("nasbench201", seed=generator).stem[0].weight

    first, again = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    one, two = weights(first), weights(first)
    assert torch.equal(one, weights(again))
    assert torch.equal(two, weights(again))
    assert not torch.equal(one, two)


def test_meta_networks_have_the_shapes_and_draw_nothing(space):
    before = torch.get_rng_state()
    real, shapes = make(space), make(space, device="meta")
    assert torch.equal(torch.get_rng_state(), before)
    assert {p.device.type for p in shapes.state_dict().values()} == {"meta"}
    assert [(k, v.shape) for k, v in shapes.state_dict().items()] == [
        (k, v.shape) for k, v in real.state_dict().items()
    ]


def test_the_default_device_does_not_matter():
    wanted = make("nasbench201").stem[0].weight
    torch.set_default_device("meta")
    try:
        found = make("nasbench201").stem[0].weight
    finally:
        torch.set_default_device("cpu")
    assert torch.equal(found, wanted)


@settings(max_examples=12, deadline=None)
@given(space=st.sampled_from(IMAGES), which=st.integers(0, 10**6))
def test_random_architectures_train(space, which):
    network = make(space, which=which)
    logits = network(*inputs(space))
    assert logits.isfinite().all()
    logits.sum().backward()
    with torch.no_grad():
        assert network.eval()(*inputs(space)).isfinite().all()


def test_spaces_and_pools_build():
    space = spaces.get("nasbench201")
    members = [architecture("nasbench201", k) for k in range(3)]
    network = space.build(members[0], **SMALL["nasbench201"])
    pooled = PoolSpace(space, members).build(members[0], **SMALL["nasbench201"])
    assert count_parameters(pooled) == count_parameters(network)


def test_options_are_listed_and_checked():
    assert networks.options("nasbench201") == {
        "num_classes": 10,
        "in_channels": 3,
        "channels": 16,
        "cells": 5,
        "dead_edges": False,
    }
    cell = architecture("nasbench201", 0)
    with raised(UnknownNameError, "nasbench201", name="num_clases", suggestion="num_classes"):
        networks.build(cell, num_clases=10)
    with raised(UnknownNameError, name="nasbench20l", suggestion="nasbench201"):
        networks.build(Architecture("nasbench20l", cell.code))
    with raised(InvalidArchitectureError, "0 to 4", space="nasbench201", value=(9, 0, 0, 0, 0, 0)):
        networks.build(Architecture("nasbench201", (9, 0, 0, 0, 0, 0)))


@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "darts", "transnas_micro", "transnas_macro"])
def test_the_old_name_of_the_number_of_classes(space):
    cell = architecture(space, 0)
    with pytest.warns(RenamedWarning, match="num_classes"):
        network = networks.build(cell, classes=3, device="meta")
    assert count_parameters(network) == count_parameters(networks.build(cell, num_classes=3, device="meta"))
    with pytest.warns(RenamedWarning):
        options, batch = spaces.get("nasbench201").example_inputs(4, classes=2)
    assert options == {"num_classes": 2}
    assert batch.labels.tolist() == [0, 1, 0, 1]
    with raised(ConfigError, key="classes", value=3):
        networks.build(cell, classes=3, num_classes=4)


def test_the_number_of_classes_of_networks_that_kept_the_old_name():
    assert classes_of({}, {"classes": 4}) == 4
    assert classes_of({"classes": 5}, {"classes": 4}) == 5
    assert classes_of({"num_classes": 6}, {"num_classes": 10}) == 6
    assert classes_of({"size": 8}) is None


@pytest.mark.parametrize(
    ("space", "key", "value"),
    [
        ("nasbench201", "cells", 0),
        ("nasbench101", "channels", 1.5),
        ("darts", "drop_path", 1.0),
        ("transnas_macro", "num_classes", 0),
    ],
)
def test_values_are_checked(space, key, value):
    with raised(ConfigError, key=key, value=value):
        networks.build(architecture(space, 0), device="meta", **{key: value})


@pytest.mark.parametrize(
    ("space", "key", "value", "nearest"),
    [("darts", "stem", "cifer", "cifar"), ("transnas_micro", "task", "class_scenes", "class_scene")],
)
def test_names_are_checked(space, key, value, nearest):
    with raised(UnknownNameError, name=value, suggestion=nearest):
        networks.build(architecture(space, 0), device="meta", **{key: value})


def test_a_plug_in_registers_networks_of_its_space():
    class Toy(nn.Module):
        def __init__(self, architecture: Architecture, *, width: int = 2) -> None:
            super().__init__()
            self.linear = nn.Linear(architecture.code[0], width)

    networks.register("toy_space", summary="a toy")(Toy)
    try:
        network = networks.build(Architecture("toy_space", (3,)), width=4)
        assert network.linear.weight.shape == (4, 3)
        with raised(UnknownNameError, name="with_", suggestion="width"):
            networks.build(Architecture("toy_space", (3,)), with_=4)
    finally:
        networks.registry.remove("toy_space")


def test_no_torch_before_a_network_is_built():
    code = "import sys\nfrom po_nas import networks\nnetworks.names()\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_sampling_reaches_cells_without_a_path():
    """The space has them, so the property above must be able to meet them."""
    rng = np.random.default_rng(0)
    space = spaces.get("nasbench201")
    assert any(space.canonical(space.sample(rng)) == "()" for _ in range(300))
