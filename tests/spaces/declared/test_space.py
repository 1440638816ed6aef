"""Declared spaces: the whole contract, for fixed declarations and for made-up ones."""

from __future__ import annotations

import itertools
import json
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import po_nas
from po_nas import Categorical, Float, Int, Ordinal
from po_nas.errors import InvalidArchitectureError, NotEnumerableError
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared.space import DeclaredSpace
from po_nas.testing import SpaceConformance
from tests.errors import raised
from tests.spaces.declared.declarations import choices

fuzz = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def mlp(**options):
    return po_nas.declare(
        "mlp",
        depth=Int(1, 4),
        width=Ordinal([8, 16, 32]).each("depth"),
        act=Categorical(["relu", "gelu"]),
        lr=Float(1e-3, 1e-1, log=True),
        momentum=Float(0.0, 0.9, when={"act": "relu"}),
        **options,
    )


class TestMLP(SpaceConformance):
    space = mlp()


class TestPlain(SpaceConformance):
    """No choice hangs on another: the contract holds in full."""

    space = po_nas.declare("plain", a=Categorical([1, "b", True, None]), b=Ordinal([1, 2, 4]).each(3), c=Int(-2, 2))

    def test_neighbours_are_complete(self, space):
        assert space.neighbours_complete


class TestStages(SpaceConformance):
    space = po_nas.declare(
        "stages",
        depth=Int(0, 2).each(2),
        op=Categorical(["conv", "id"]).each("depth"),
        kernel=Ordinal([3, 5]).each("depth"),
        wide=Int(1, 3, when={"tail": True}),
        tail=Categorical([False, True]),
    )


class TestConstrained(SpaceConformance):
    space = mlp(constraints="depth * max(width) <= 48")


class TestPerLayerCondition(SpaceConformance):
    space = po_nas.declare(
        "layers",
        op=Categorical(["conv", "pool", "id"]).each("depth"),
        kernel=Ordinal([3, 5], when={"op": ["conv", "pool"]}).each("depth"),
        depth=Int(1, 3),
        wd=Float(0, 1),
    )


_TESTS = [
    name
    for name in vars(SpaceConformance)
    if name.startswith("test_") and "another_process" not in name and "different_networks" not in name
]


@fuzz
@given(made=choices(), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_made_up_declarations_conform(made, seed, data):
    space = DeclaredSpace("made", made)
    kit = SpaceConformance()
    for name in _TESTS:
        test = getattr(SpaceConformance, name)
        inner = getattr(getattr(test, "hypothesis", None), "inner_test", None)
        if inner is None:
            test(kit, space)
        else:
            inner(kit, space, seed)
    assert po_nas.declare(space.declaration()).declaration() == space.declaration()
    twin = pickle.loads(pickle.dumps(space))
    first = space.sample(np.random.default_rng(seed))
    assert twin.sample(np.random.default_rng(seed)) == first
    assert space.architecture_of(space.config_of(first)) == first


@fuzz
@given(made=choices(most=5))
def test_size_is_the_number_of_codes(made):
    space = DeclaredSpace("made", made)
    if space.size is None:
        assert any(choice.continuous for choice in made.values())
        assert not space.enumerable
    elif space.enumerable and space.size < 5_000:
        assert space.size == sum(1 for _ in space.enumerate())


def test_size_of_what_nobody_could_list():
    space = po_nas.declare("big", depth=Int(0, 40), op=Categorical(["c", "d", "e"]).each("depth"))
    assert space.size == sum(3**k for k in range(41))
    assert not space.enumerable
    layered = po_nas.declare(
        "big2",
        depth=Int(1, 30),
        op=Categorical(["conv", "id"]).each("depth"),
        kernel=Ordinal([3, 5, 7], when={"op": "conv"}).each("depth"),
        act=Categorical(["a", "b"]),
    )
    assert layered.size == 2 * sum(4**k for k in range(1, 31))


def test_size_under_constraints_is_counted_where_it_can_be_listed():
    space = po_nas.declare("few", a=Int(0, 9), b=Int(0, 9), constraints=lambda c: c["a"] < c["b"])
    assert space.size == 45
    assert len(set(space.enumerate())) == 45
    large = po_nas.declare("many", a=Int(0, 9).each(6), constraints="sum(a) < 30")
    assert large.size is None
    with pytest.raises(NotEnumerableError):
        large.enumerate()


def test_configurations_hold_what_exists():
    space = mlp()
    config = {"depth": 2, "width": [8, 32], "act": "gelu", "lr": 0.01}
    architecture = space.architecture_of(config)
    assert space.config_of(architecture) == config
    assert json.loads(space.to_string(architecture)) == config
    nested = po_nas.declare("n", stages=Int(0, 2), depth=Int(0, 2).each("stages"), w=Int(1, 2).each("depth"))
    for made in ({"stages": 0, "depth": [], "w": []}, {"stages": 2, "depth": [0, 2], "w": [[], [1, 2]]}):
        assert nested.config_of(nested.architecture_of(made)) == made
    layers = po_nas.declare(
        "l",
        depth=Int(1, 3, when={"on": True}),
        on=Categorical([True, False]),
        op=Categorical(["conv", "id"]).each("depth"),
        kernel=Ordinal([3, 5], when={"op": "conv"}).each("depth"),
    )
    for made in ({"on": False}, {"depth": 2, "on": True, "op": ["id", "conv"], "kernel": [None, 5]}):
        assert layers.config_of(layers.architecture_of(made)) == made
    assert layers.size == 1 + 3 + 9 + 27


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"depth": 2, "width": [8], "act": "gelu", "lr": 0.01}, "width[1]"),
        ({"depth": 1, "width": [8, 8], "act": "gelu", "lr": 0.01}, "width"),
        ({"depth": 1, "width": [9], "act": "gelu", "lr": 0.01}, "width[0]"),
        ({"depth": 1, "width": 8, "act": "gelu", "lr": 0.01}, "width[0]"),
        ({"depth": 1, "width": [8], "act": "gelu", "lr": 0.2}, "lr"),
        ({"depth": 1, "width": [8], "act": "gelu", "lr": 0.1, "momentum": 0.1}, "momentum"),
        ({"depth": 1, "width": [8], "act": "relu", "lr": 0.1}, "momentum"),
        ({"depth": True, "width": [8], "act": "gelu", "lr": 0.1}, "depth"),
        ({"depth": 1, "width": [8], "act": "gelu", "lr": 0.1, "extra": 0.1}, "extra"),
        ({}, "depth"),
        ("depth=1", "mapping"),
    ],
)
def test_configurations_that_are_none(config, name):
    with raised(InvalidArchitectureError, name, space="mlp"):
        mlp().architecture_of(config)


def test_constraints_hold_everywhere():
    space = mlp(constraints=["depth * max(width) <= 48", lambda c: c["act"] == "relu" or c["lr"] < 0.05])
    rng = np.random.default_rng(0)

    def fits(architecture: Architecture) -> bool:
        c = space.config_of(architecture)
        return c["depth"] * max(c["width"]) <= 48 and (c["act"] == "relu" or c["lr"] < 0.05)

    pool = [space.sample(rng) for _ in range(100)]
    children = [space.crossover(a, b, rng) for a, b in itertools.pairwise(pool)]
    mutants = [space.mutate(a, rng) for a in pool]
    near = [n for a in pool[:10] for n in space.neighbours(a)]
    steps = [s for a, b in itertools.pairwise(pool[:20]) for s in space.steps_towards(a, b)]
    assert all(map(fits, [*pool, *children, *mutants, *near, *steps]))
    bad = mlp().architecture_of({"depth": 4, "width": [32] * 4, "act": "relu", "lr": 0.01, "momentum": 0.0})
    with raised(InvalidArchitectureError, "depth * max(width) <= 48"):
        space.validate(bad)


def test_a_condition_on_what_is_absent_holds():
    space = mlp(constraints="momentum >= 0.8")
    found = [space.config_of(space.sample(np.random.default_rng(s))) for s in range(60)]
    assert {c["act"] for c in found} == {"relu", "gelu"}
    assert all(c["momentum"] >= 0.8 for c in found if "momentum" in c)


def test_steps_of_a_mutation_are_near_on_the_scale():
    space = po_nas.declare("steps", lr=Float(1e-6, 1.0, log=True), n=Int(1, 10_000, log=True), w=Ordinal(range(1, 21)))
    rng = np.random.default_rng(0)
    start = space.architecture_of({"lr": 1e-3, "n": 100, "w": 10})
    config = space.config_of(start)
    moved = {name: [] for name in config}
    for _ in range(3000):
        for name, value in space.config_of(space.mutate(start, rng)).items():
            if value != config[name]:
                moved[name].append(value)
    logs = np.log10(moved["lr"]) + 3
    assert abs(np.median(logs)) < 0.1
    # half of the steps have a deviation of a fifth of six decades, half of a fiftieth
    assert 0.6 < logs.std() < 1.1
    assert 0.05 < np.median(np.abs(logs)) < 0.5
    assert abs(np.median(np.log10(moved["n"])) - 2) < 0.1
    assert 2 < np.std(moved["w"]) < 5
    assert min(map(len, moved.values())) > 800


def test_sampling_is_uniform_on_the_scale():
    space = po_nas.declare(
        "scale", lr=Float(1e-4, 1.0, log=True), n=Int(1, 1000, log=True), m=Int(0, 3), f=Float(-1, 1)
    )
    rng = np.random.default_rng(1)
    drawn = [space.config_of(space.sample(rng)) for _ in range(4000)]
    assert np.allclose(np.quantile(np.log10([c["lr"] for c in drawn]), [0.25, 0.5, 0.75]), [-3, -2, -1], atol=0.1)
    assert np.allclose(np.quantile([c["f"] for c in drawn], [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.06)
    assert abs(np.median([c["n"] for c in drawn]) - 22) < 4
    assert np.allclose(np.bincount([c["m"] for c in drawn]) / 4000, 0.25, atol=0.03)


@settings(fuzz, max_examples=200)
@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-2, 1e6), log=st.booleans(), position=st.integers(0, 100_000))
def test_floats_are_short_decimals_that_come_back(low, width, log, position):
    low = abs(low) + 1e-6 if log else low
    choice = Float(low, low + width, log=log)
    value = choice.value(position)
    assert choice.low <= value <= choice.high
    assert choice.position(value) == position
    assert choice.value(0) == choice.low
    assert choice.value(100_000) == choice.high
