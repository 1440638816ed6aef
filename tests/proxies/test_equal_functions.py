"""Networks that compute the same have the same scores, for every proxy of the package."""

from __future__ import annotations

import copy
import functools
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

UNEQUAL: dict[str, str] = {
    "linear: matmul": "fisher grad_norm l2_norm vkdnw_entropy zen zico",
    "linear: addmm": "fisher vkdnw_entropy zen",
    "linear: weight first": "fisher grad_norm intrain l2_norm vkdnw_entropy zen zico",
    "linear: tensordot": "fisher grad_norm intrain l2_norm l_swag layer_count vkdnw_entropy zen zico",
    "linear: matmul, same names": "fisher grad_norm intrain l2_norm vkdnw_entropy zico",
    "linear on halves of the batch": "grad_norm l2_norm zen zico",
    "linear as 1 x 1 convolution": "zen",
    "convolution as function": "az_expressivity az_progressivity az_trainability near",
    "1-D convolution as 2-D": "az_expressivity az_progressivity az_trainability near",
    "batch norm with activation": "az_expressivity az_progressivity az_trainability",
    "batch norm written out": "gradsign ntk vkdnw_entropy",
    "weight_norm": "az_expressivity az_progressivity az_trainability",
    "identity parametrisation": "az_expressivity az_progressivity az_trainability",
    "zero addend of low rank": "az_expressivity az_progressivity az_trainability",
    "wrapper": "az_expressivity az_progressivity az_trainability",
    "other order": "zen",
    "shared parameters, not modules": "az_expressivity az_progressivity az_trainability",
    "ReLU: maximum": "l_swag near wrcor",
    "ReLU: where": "l_swag near wrcor",
    "ReLU: mask": "l_swag near wrcor",
}
"""Proxies that have another score for a network that is rewritten so; "*" where scoring changes the network itself."""


@functools.cache
def reference(family, activation=nn.ReLU):
    return Reference(example(family, activation=activation), NAMES)


def faults(rewrite, most=None):
    """The proxies that have another score, with the families and what it is; in at most so many families."""
    found, first = defaultdict(dict), REWRITES.index(rewrite) if most else 0
    families = [*list(FAMILIES)[first % len(FAMILIES) :], *list(FAMILIES)[: first % len(FAMILIES)]]
    tried = 0
    for family in families:
        for activation in (nn.ReLU, nn.SiLU) if rewrite.name == "batch norm with activation" else (nn.ReLU,):
            problems = reference(family, activation).unequal([rewrite], ABOUT)
            tried += problems is not None
            for name, problem in (problems or {}).items():
                found[name][family] = problem
        if tried == most:
            break
    assert tried, "no family has anything for this rewrite"
    return dict(found)


pytestmark = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")


@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda r: r.name)
def test_rewritten(rewrite):
    known = set(UNEQUAL.get(rewrite.name, "").split())
    found = faults(rewrite, 1)
    assert set(found) <= known, found


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda r: r.name)
def test_rewritten_in_every_family(rewrite):
    known = set(UNEQUAL.get(rewrite.name, "").split())
    found = faults(rewrite)
    assert set(found) <= known, found
    assert set(found) == known, f"take {known - set(found)} out of the list"


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


@pytest.mark.parametrize("where", SURROUNDINGS)
@pytest.mark.parametrize(("family", "training"), [("convolutional", True), ("attention", False)])
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
    known = {name for rewrite in rewrites for name in UNEQUAL.get(rewrite.name, "").split()}
    found = Reference(example, NAMES).unequal(rewrites, ABOUT) or {}
    assert set(found) <= known, found


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(small_networks(), compositions())
def test_composed(example, rewrites):
    composed(example, rewrites)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(small_networks(), compositions())
def test_composed_at_length(example, rewrites):
    composed(example, rewrites)
