"""BANANAS, NPENAS and WeakNAS, and what they share with PWLNAS."""

from __future__ import annotations

import itertools
from types import MappingProxyType

import numpy as np
import pytest

from po_nas import methods, spaces
from po_nas.core.searcher import Domain
from po_nas.methods.bananas import operation_paths
from po_nas.methods.rounds import mutants, top_parents
from po_nas.spaces.base import OperationGraph
from po_nas.testing import SearcherConformance, ToyObjective
from tests.methods.toy import drive

SPACE = spaces.get("transnas_micro")
ROUND = {"initial": 4, "queries": 3, "steps": 3}


class TestBANANAS(SearcherConformance):
    method = "bananas"
    options = MappingProxyType({**ROUND, "candidates": 8, "members": 2, "layers": 2})
    budget = 8


class TestNPENAS(SearcherConformance):
    method = "npenas"
    options = MappingProxyType({**ROUND, "candidates": 8, "parents": 3})
    budget = 8


class TestWeakNAS(SearcherConformance):
    method = "weaknas"
    options = MappingProxyType({**ROUND, "top": 5, "pool": 60})
    budget = 8


class TestWeakNASInALargeSpace(SearcherConformance):
    method = "weaknas"
    options = MappingProxyType({**ROUND, "top": 2, "pool": 6, "predictor": "gcn"})
    budget = 8
    space_name = "darts"


@pytest.mark.parametrize(
    ("name", "options"), [("bananas", {"layers": 2, "width": 64}), ("npenas", {}), ("weaknas", {})]
)
def test_rounds_beat_chance_on_a_smooth_objective(name, options):
    objective = ToyObjective(SPACE)
    kind = methods.registry.get(name)
    chosen = kind.Options(initial=10, queries=10, steps=100, **options)
    method = kind(Domain(SPACE, SPACE.to_string, True, 30), seed=0, options=chosen)
    trials = drive(method, objective.value, 30)
    assert [t.origin for t in trials] == ["initial"] * 10 + ["predictor"] * 20
    found = [objective.value(t.architecture) for t in trials]
    chance = np.sort([objective.value(a) for a in SPACE.enumerate()])
    assert np.median(found[20:]) > chance[int(0.75 * len(chance))]


def test_mutants_are_near_their_parents_and_not_known():
    objective, domain = ToyObjective(SPACE), Domain(SPACE, SPACE.to_string)
    method = methods.registry.get("random")(domain, seed=1)
    drive(method, objective.value, 12)
    known = method.observations
    parents = top_parents(method.scores(known), known, 3)
    ranked = sorted((ob.outcome.validation for ob in known), reverse=True)[:3]
    assert [objective.value(a) for a in parents] == ranked
    turn = itertools.cycle(parents)
    found = mutants(domain, known, 15, lambda: next(turn), np.random.default_rng(0))
    assert len(set(found)) == 15
    assert not set(found) & {ob.trial.architecture for ob in known}
    assert {min(SPACE.edit_distance(a, parent) for parent in parents) for a in found} == {1}
    # One parent has 18 neighbours; the rest come from the space.
    many = mutants(domain, known, 40, lambda: parents[0], np.random.default_rng(0))
    assert len(set(many)) == 40
    assert sum(SPACE.edit_distance(a, parents[0]) == 1 for a in many) <= 18


def test_paths_from_input_to_output():
    diamond = OperationGraph(("input", "a", "b", "a", "output"), ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)))
    assert operation_paths(diamond) == {("input", "a", "output"): 2, ("input", "b", "output"): 1}
    chain = OperationGraph(("input", "a", "b", "output"), ((0, 1), (1, 2), (2, 3), (0, 3)))
    assert operation_paths(chain) == {("input", "a", "b", "output"): 1, ("input", "output"): 1}
    assert len(operation_paths(SPACE.operation_graph(SPACE.at(SPACE.size - 1)))) == 3
    # DARTS: two cells, four inputs.
    darts = spaces.get("darts")
    paths = operation_paths(darts.operation_graph(darts.sample(np.random.default_rng(0))))
    assert all(len(path) >= 3 for path in paths)


def test_weaknas_draws_from_the_top():
    kind = methods.registry.get("weaknas")
    domain = Domain(SPACE, SPACE.to_string, True, 30)
    method = kind(domain, seed=3, options=kind.Options(initial=10, queries=5, top=20, steps=50))
    drive(method, ToyObjective(SPACE).value, 11)
    (_, ranked) = method._cached
    assert len(ranked) == 45
    known = [ob for ob in method.observations if ob.trial.number < 10]
    sequence = np.random.SeedSequence(3, spawn_key=(0, 2))
    assert list(ranked) == method.rank(known, known, sequence)
    assert not {ob.trial.architecture for ob in known} & set(ranked)
