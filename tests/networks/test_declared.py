"""Networks of declared spaces: which functions can build them, what they get, and proxies of what they make."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import po_nas
import proxies
from po_nas import Categorical, Float, Int, Ordinal
from po_nas.errors import ProxyBatchError, UnknownNameError
from po_nas.networks.declared import batch_of
from po_nas.spaces.declared import DeclarationError
from tests.errors import raised


def declared():
    return po_nas.declare(
        "mlp",
        depth=Int(1, 3),
        width=Ordinal([4, 8]).each("depth"),
        act=Categorical(["relu", "gelu"]),
        momentum=Float(0.0, 0.9, when={"act": "relu"}),
    )


CALLS = []


def build(depth, width, act, outputs=2, **rest):
    CALLS.append({"depth": depth, "width": width, "act": act, **rest})
    layers: list[nn.Module] = []
    for before, after in zip([6, *width], width, strict=False):
        layers += [nn.Linear(before, after), {"relu": nn.ReLU, "gelu": nn.GELU}[act]()]
    return nn.Sequential(*layers, nn.Linear(width[-1], outputs))


def test_the_function_gets_the_configuration():
    space = declared()
    assert not space.has_network
    assert space.network(build) is build
    assert space.has_network
    for config in (
        {"depth": 2, "width": [8, 4], "act": "gelu"},
        {"depth": 1, "width": [8], "act": "relu", "momentum": 0.5},
    ):
        CALLS.clear()
        network = space.build(space.architecture_of(config), seed=3)
        assert [config] == CALLS
        assert network(torch.zeros(5, 6)).shape == (5, 2)
    assert space.network_options == {"outputs": 2}
    assert space.build(space.architecture_of(config), outputs=7)(torch.zeros(5, 6)).shape == (5, 7)
    with raised(UnknownNameError, name="output", suggestion="outputs"):
        space.build(space.architecture_of(config), output=7)
    CALLS.clear()
    space.build(space.architecture_of(config), num_classes=3)
    assert [config | {"num_classes": 3}] == CALLS
    meta = space.build(space.architecture_of(config), device="meta")
    assert all(p.device.type == "meta" for p in meta.parameters())


def test_weights_depend_on_the_seed_alone():
    space = declared()
    space.network(build)
    architecture = space.sample(np.random.default_rng(0))
    state = torch.get_rng_state()

    def weights(seed):
        return torch.cat([p.flatten() for p in space.build(architecture, seed=seed).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda depth, width: None, "act"),
        (lambda depth, width, act: None, "momentum"),
        (lambda depth, width, act, momentum: None, "momentum"),
        (lambda depth, width, act, channels, **rest: None, "channels"),
        (lambda depth, width, act, seed=0, **rest: None, "seed"),
        (lambda depth, /, **rest: None, "depth"),
        (3, "mlp"),
    ],
)
def test_functions_that_cannot_build(function, name):
    space = declared()
    with raised(DeclarationError, name) as caught:
        space.network(function)
    assert "\n" not in str(caught.value)
    assert not space.has_network


def test_functions_that_return_no_module():
    space = declared()
    space.network(lambda **choices: choices)
    with raised(DeclarationError, "dict"):
        space.build(space.sample(np.random.default_rng(0)))


def test_a_space_without_networks_says_so():
    space = declared()
    with raised(DeclarationError, where="mlp"):
        space.build(space.sample(np.random.default_rng(0)))
    space.network(build)
    with raised(DeclarationError, where="mlp"):
        space.example_inputs()


def test_example_inputs_come_with_the_networks():
    space = declared()
    inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    space.network(example_inputs=inputs)(build)
    options, batch = space.example_inputs()
    assert options == {}
    assert batch.inputs[0] is not None
    assert batch.labels is None
    network = space.build(space.sample(np.random.default_rng(0)))
    assert proxies.score(network, batch, ["params", "synflow"])["params"] == sum(
        p.numel() for p in network.parameters()
    )


def test_what_is_a_batch():
    x, y = torch.randn(4, 6), torch.arange(4)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=2)
    assert batch_of(x).labels is None
    assert torch.equal(batch_of((x, y)).labels, y)
    assert torch.equal(batch_of(loader).inputs[0], x[:2])
    assert torch.equal(batch_of([x]).inputs[0], x)
    for array, kind in ((x.double().numpy(), torch.float32), (y.numpy().astype("i4"), torch.int64)):
        [found] = batch_of(array).inputs
        assert found.dtype is kind
        assert torch.equal(found, torch.tensor(array).to(kind))
    assert torch.equal(batch_of((x.numpy(), y.numpy())).labels, y)
    assert torch.equal(batch_of(iter([(x.numpy(), y.numpy())])).inputs[0], x)
    for wrong in (3, "x", [], (x, y, y), iter([]), np.array(["x"]), (np.array([None]), y)):
        with pytest.raises(ProxyBatchError):
            batch_of(wrong)


def test_networks_travel_with_the_space_to_other_processes():
    space = declared()
    space.network(example_inputs=torch.zeros(2, 6))(build)
    twin = pickle.loads(pickle.dumps(space))
    architecture = space.sample(np.random.default_rng(0))
    first, second = (s.build(architecture, seed=1).state_dict() for s in (space, twin))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert twin.network_identity == space.network_identity


def test_kept_scores_tell_networks_apart():
    def one(**choices):
        return nn.Linear(2, 2)

    def two(**choices):
        return nn.Linear(3, 2)

    found = set()
    for function in (one, two):
        space = declared()
        space.network(function)
        found.add(space.network_identity)
    other = po_nas.declare("mlp", depth=Int(1, 2))
    other.network(one)
    assert len({*found, other.network_identity}) == 3
