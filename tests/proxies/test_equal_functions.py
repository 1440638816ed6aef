"""Networks that compute the same have the same scores, for every proxy of the package."""

from __future__ import annotations

import copy
import functools
import itertools
from collections import defaultdict

import pytest
from hypothesis import given, settings
from torch import nn

import proxies
from po_nas.testing.pairs import LOOKS_AT, Reference, aspects
from po_nas.testing.proxies import compositions, small_networks
from po_nas.testing.rewrites import ASPECTS, REWRITES
from po_nas.testing.small_networks import FAMILIES, Example, example
from po_nas.testing.surroundings import SURROUNDINGS, changes, state

NAMES = tuple(p.spec.name for p in proxies.resolve("*") if not p.spec.needs)
ABOUT = {name: aspects(name) for name in NAMES}
# Sums over single weights do not depend on how weights are divided into layers, nor on layers that add zero.
ABOUT |= {name: ABOUT[name] - {"grouping", "layers"} for name in ("fisher", "plain", "snip", "synflow", "synflow_bn")}
ABOUT |= {"grasp": ABOUT["grasp"] - {"grouping"}}
# One weight stands for a layer.
ABOUT |= {"vkdnw_entropy": ABOUT["vkdnw_entropy"] | {"grouping"}}
ABOUT |= {"params": frozenset({"parameters", "layers"}), "l2_norm": frozenset({"grouping", "layers"})}

CHEAP = ("tied", "one-dimensional", "perceptron", "convolutional", "graph", "positions", "residual")
"""Families that are scored in some tenths of a second."""


@functools.cache
def reference(family, activation=nn.ReLU):
    return Reference(example(family, activation=activation), NAMES)


def faults(rewrites, families, most=None):
    """The proxies that have another score, with the families and what it is; in at most so many families."""
    found, tried = defaultdict(dict), 0
    for family in families:
        for activation in (nn.ReLU, nn.SiLU) if rewrites[0].name == "batch norm with activation" else (nn.ReLU,):
            problems = reference(family, activation).unequal(rewrites, ABOUT)
            tried += problems is not None
            for name, problem in (problems or {}).items():
                found[name][family] = problem
        if tried == most:
            break
    assert tried, "no family has anything for these rewrites"
    return dict(found)


def groups():
    """Every rewrite at least once; one of a ReLU and one of a linear layer are with each of the others."""
    relus, linear = ([r for r in REWRITES if r.name.startswith(start) and not r.last] for start in ("ReLU", "linear"))
    others = [r for r in REWRITES if r not in relus and r not in linear]
    more = zip(others, itertools.cycle(relus), itertools.cycle(linear), strict=False)
    return [[other, relu] if other.last else [other, relu, layer] for other, relu, layer in more]


pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")


@pytest.mark.parametrize("rewrites", groups(), ids=lambda g: g[0].name)
def test_rewritten(rewrites):
    first = REWRITES.index(rewrites[0]) % len(CHEAP)
    families = [*CHEAP[first:], *CHEAP[:first], *(f for f in FAMILIES if f not in CHEAP)]
    families = [f for f in families if rewrites[0](reference(f).example.module) is not None]
    assert not faults(rewrites, families, 1)


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda r: r.name)
def test_rewritten_in_every_family(rewrite):
    assert not faults([rewrite], FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_rewritten_networks_compute_the_same(family):
    """What the other tests build on."""
    known = reference(family)
    for rewrite in REWRITES:
        module = rewrite(known.example.module)
        if module is not None:
            assert known.computes_the_same(module), rewrite


@functools.cache
def single(family):
    """An example in single precision, which autocast would touch, and its scores."""
    made = example(family)
    inputs = tuple(x.float() if x.is_floating_point() else x for x in made.inputs)
    return Reference(Example(made.module.float(), inputs, made.labels), NAMES)


PLACES = list(itertools.product(SURROUNDINGS, [("convolutional", True), ("attention", False)]))


@pytest.mark.parametrize(
    ("where", "family", "training"),
    [
        pytest.param(where, *which, marks=[pytest.mark.slow] if (k // 2 + k) % 2 else [])
        for k, (where, which) in enumerate(PLACES)
    ],
)
def test_surroundings(where, family, training):
    alone = single(family)
    module = copy.deepcopy(alone.example.module).train(training)
    with SURROUNDINGS[where]():
        inputs = tuple(x.clone().requires_grad_(x.is_floating_point()) for x in alone.example.inputs)
        before = state(module, *inputs)
        found = proxies.evaluate(module, (inputs, alone.example.labels), NAMES)
        assert not changes(before, state(module, *inputs))
    assert found.values == alone.scores.values, found.errors


def test_every_pass_says_what_it_is_about():
    assert set(LOOKS_AT) == set(proxies.PASSES)
    assert frozenset[str]().union(*LOOKS_AT.values()) <= set(ASPECTS)


def composed(example, rewrites):
    assert not Reference(example, NAMES).unequal(rewrites, ABOUT)


@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(small_networks(), compositions())
def test_composed(example, rewrites):
    composed(example, rewrites)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(small_networks(), compositions())
def test_composed_at_length(example, rewrites):
    composed(example, rewrites)
