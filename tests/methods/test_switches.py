"""What a search finds does not depend on torch's global switches, whoever has switched them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas import methods, spaces
from po_nas.core.fidelities import Fidelities
from po_nas.core.searcher import Domain, Proposal, Searcher, SharedCache
from po_nas.testing import ToyObjective
from po_nas.testing.switches import SWITCHES, state, switched
from tests.methods.toy import ToyMetrics, other_task

SPACE = spaces.get("transnas_micro")
QUICK = {
    "regularized_evolution": {"population": 3, "sample": 2},
    "local_search": {"initial": 3},
    "gp_bo": {"initial": 3},
    "pwlnas": {"initial": 3, "queries": 2, "candidates": 6, "steps": 5, "population": 4},
    "po_nas": {"pool": 60, "initial": 3, "initial_by_proxy": 1},
    "po_nas_transfer": {"pool": 60, "initial": 3, "initial_by_proxy": 1},
    "gp_proxies": {"pool": 60, "initial": 3, "initial_by_proxy": 1},
    "po_nas_paper": {"pool": 40, "initial": 3, "pretraining": "fast"},
    "robot": {"pool": 60, "initial": 2, "iterations": 3, "vectors": 40},
    "zero_cost": {"pool": 60},
    "bananas": {"initial": 3, "queries": 2, "candidates": 6, "steps": 5, "members": 2},
    "npenas": {"initial": 3, "queries": 2, "candidates": 6, "steps": 5, "parents": 2},
    "weaknas": {"initial": 3, "queries": 2, "steps": 5, "pool": 30, "top": 5},
}
BUDGET = 6


def trials(name, *, leave=None):
    """The trials of a search with a cache of its own, and what it has learned; `leave` runs in each evaluation."""
    kind = methods.registry.get(name)
    objective = ToyObjective(SPACE)
    source = ToyMetrics(SPACE, gap=7)
    tasks = (other_task(SPACE, 16),) if kind.needs_other_tasks else ()
    cache = SharedCache()
    options = kind.Options(**QUICK.get(name, {}))
    fidelities = Fidelities((1.0, 3.0, 9.0)) if kind.uses_fidelities(options) else Fidelities()
    domain = Domain(
        *(SPACE, SPACE.to_string, True, BUDGET),
        proxies=source,
        cache=cache,
        source_tasks=tasks,
        fidelities=fidelities,
    )
    searcher = kind(domain, seed=2, options=options)
    found = []
    for _ in range(BUDGET // 2):
        for trial in searcher.ask(2):
            if leave is not None:
                leave()
            searcher.tell(trial.number, objective.evaluate(trial.architecture, seed=trial.seed))
            found.append((trial.origin, SPACE.to_string(trial.architecture)))
    return found, searcher.explain()


@pytest.fixture(scope="module")
def undisturbed():
    known = {}

    def get(name):
        if name not in known:
            known[name] = trials(name)
        return known[name]

    return get


@pytest.mark.parametrize("name", methods.names())
def test_all_switches_at_once(name, undisturbed):
    """The model is reached, and nothing fails quietly: origins are compared too."""
    expected = undisturbed(name)
    with switched():
        assert trials(name) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", methods.names())
@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch(name, switch, undisturbed):
    expected = undisturbed(name)
    with switched(switch):
        assert trials(name) == expected


@pytest.mark.parametrize("name", ["gp_bo", "pwlnas", "bananas", "npenas"])
def test_an_objective_that_leaves_gradients_off(name, undisturbed):
    """A training that evaluates its network and forgets to switch back; it finds what it left."""
    seen = []

    def leave():
        seen.append(torch.is_grad_enabled())
        torch.set_grad_enabled(False)

    expected = undisturbed(name)
    try:
        assert trials(name, leave=leave) == expected
    finally:
        torch.set_grad_enabled(True)
    assert seen == [True] + [False] * (BUDGET - 1)


class Switching(Searcher):
    """Looks at the switches, and leaves them otherwise."""

    def propose(self, rng: np.random.Generator) -> Proposal:
        self.found = state()
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return Proposal(self.draw_unseen(rng), "random")


def test_a_method_sees_the_defaults_and_cannot_leave_its_own():
    before = state()
    searcher = Switching(Domain(SPACE, SPACE.to_string), seed=0)
    names = [name for name in SWITCHES if name not in {"deterministic", "threads"}]
    with switched(*names):
        searcher.ask(1)
    assert searcher.found == before
    searcher.ask(1)
    assert state() == before
