"""The kit on proxies of the package, and on ones that break its rules."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import proxies
from po_nas.errors import UnsupportedModuleError
from po_nas.testing.proxies import ProxyConformance

COUNT = itertools.count()
# One for every kind of pass; test_engine.py has the others for the most part of this.
NAMES = ["fisher", "flops", "meco", "swap", "zico", "reg_swap", "az_trainability"]
SLOW = ["epe_nas", "grasp", "ntk", "synflow", "zen", "near", "vkdnw", "intrain", "l_swag", "dextr", "wrcor", "meco_opt"]
SLOW += ["ncd_nwot", "ncd_swap"]
# test_equal_functions.py does these for all proxies at once.
ELSEWHERE = dict.fromkeys(
    [
        "test_equal_functions_have_equal_scores",
        "test_composed_rewrites_keep_the_score",
        "test_does_not_depend_on_its_surroundings",
    ]
)
KITS = {f"Test_{name}": type(f"Test_{name}", (ProxyConformance,), {"proxy": name} | ELSEWHERE) for name in NAMES}
for name in SLOW:
    content = {"proxy": name, "pytestmark": pytest.mark.slow} | ELSEWHERE
    KITS[f"Test_{name}"] = type(f"Test_{name}", (ProxyConformance,), content)
globals().update(KITS)


@pytest.mark.parametrize(
    ("options", "function", "broken"),
    [
        ({}, lambda c: float(next(COUNT)), "test_same_seed_same_score"),
        ({}, lambda c: c.outputs.std(), "test_scores_are_numbers"),
        ({}, lambda c: float(c.labels.sum()), "test_labels_are_declared"),
        ({}, lambda c: 1 / 0, "test_networks_without_a_score_have_a_typed_error"),
        ({}, lambda c: 1.0, "test_can_be_sent_to_a_worker"),
        ({}, lambda c: float(c.inputs.add_(1).sum()), "test_leaves_nothing_behind"),
    ],
)
def test_the_kit_finds_what_is_wrong(options, function, broken):
    proxies.proxy("wrong", summary="wrong", **options)(function)
    try:
        kit = type("Kit", (ProxyConformance,), {"proxy": "wrong"})()
        kit.test_record()
        with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion or a pickling error
            getattr(kit, broken)()
    finally:
        proxies.registry.remove("wrong")


def output_spread(context):
    """Standard deviation of the outputs."""
    return float(context.outputs.std())


def convolutional_weights(context):
    """Number of weights in the modules that are called convolutions."""
    return float(sum(part.weight.numel() for part in context.module.modules() if isinstance(part, nn.Conv2d)))


def positive_features(context):
    """How many of the features in front of something called ReLU are positive."""
    counts = []
    for part in context.module.modules():
        if isinstance(part, nn.ReLU):
            part.register_forward_pre_hook(lambda _, given: counts.append(float((given[0] > 0).sum())))
    context.call(context.inputs)
    if not counts:
        raise UnsupportedModuleError("*", "calls no ReLU", "ReLU")
    return sum(counts)


@pytest.fixture
def registered():
    """Registers a proxy for one test; returns its kit."""
    names = []

    def add(function, **options):
        proxies.proxy(function.__name__, **options)(function)
        names.append(function.__name__)
        return type("Kit", (ProxyConformance,), {"proxy": function.__name__})()

    yield add
    for name in names:
        proxies.registry.remove(name)


@pytest.mark.slow
def test_the_kit_passes_a_proxy_of_the_function(registered):
    kit = registered(output_spread, passes=("forward",))
    kit.test_equal_functions_have_equal_scores()
    kit.test_composed_rewrites_keep_the_score()
    kit.test_does_not_depend_on_its_surroundings()


@pytest.mark.parametrize("function", [pytest.param(convolutional_weights, marks=pytest.mark.slow), positive_features])
def test_the_kit_finds_a_proxy_of_the_classes_of_modules(registered, function):
    kit = registered(function, passes=("forward",))
    with pytest.raises(AssertionError):
        kit.test_equal_functions_have_equal_scores()
    # Everything else that the kit asks for holds.
    kit.test_same_seed_same_score()
    kit.test_scores_are_numbers()
    kit.test_leaves_nothing_behind()


def test_the_kit_finds_a_proxy_that_depends_on_its_surroundings(registered):
    def modes(context):
        """How many modes of functions are active, the caller's among them: scoring leaves those alone."""
        return float(torch._C._len_torch_function_stack())

    with pytest.raises(AssertionError):
        registered(modes).test_does_not_depend_on_its_surroundings()
