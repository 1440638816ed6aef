from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.methods.candidates.candidate_set import scored_candidates
from proxies.normalise import MinMax
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("transnas_micro")
HIDDEN = np.array([0.7, -0.9, 0.2])


class TestRoBoT(MetricConformance):
    method = "robot"
    options = MappingProxyType({"pool": 100, "initial": 2, "iterations": 4, "vectors": 60})
    budget = 5


class TestRoBoTInALargeSpace(MetricConformance):
    """The search goes on after its iterations, and after its candidates: then at random."""

    method = "robot"
    learns = False
    options = MappingProxyType({"pool": 6, "initial": 2, "iterations": 3, "vectors": 40, "acquisition": "logei"})
    budget = 8
    space_name = "darts"


def hidden(metrics, *, seed=0, **options):
    """A search, and the values of its candidates: a weighting that it does not know."""
    method = with_metrics("robot", SPACE, metrics, seed=seed, **options)
    pool = scored_candidates(method.domain, seed, "robot")
    values = dict(zip(pool.architectures, MinMax(pool.scores, "middle").fitted @ HIDDEN, strict=True))
    return method, values


@pytest.mark.parametrize("acquisition", ["ucb", "logei"])
def test_finds_a_hidden_weighting(acquisition):
    method, values = hidden(ToyMetrics(SPACE), acquisition=acquisition, budget=16)
    trials = drive(method, values.__getitem__, 16)
    best = max(values[t.architecture] for t in trials)
    assert best >= np.sort(list(values.values()))[-10]


def test_what_exploration_saves_is_spent_on_the_best_combination():
    method, values = hidden(ToyMetrics(SPACE), budget=20, iterations=9)
    trials = drive(method, values.__getitem__, 20)
    origins = [t.origin for t in trials]
    explored = origins.count("weights")
    assert 1 <= explored <= 9
    assert origins == ["weights"] * explored + ["robust combination"] * (20 - explored)
    combined = method._combined
    tried, following = method._sequence(method._values())
    assert (len(tried), following) == (9, None)
    # Looked-up vectors are those of candidates that had been evaluated already.
    assert {combined.candidates.architectures[combined.tops[i]] for i in tried} == {
        t.architecture for t in trials[:explored]
    }
    best = max(tried, key=lambda i: values[combined.candidates.architectures[combined.tops[i]]])
    greedy = [combined.candidates.architectures[i] for i in combined.order(best)]
    seen = {t.architecture for t in trials[:explored]}
    assert [t.architecture for t in trials[explored:]] == [a for a in greedy if a not in seen][: 20 - explored]


def test_a_candidate_without_all_metrics_is_not_on_top():
    method = with_metrics("robot", SPACE, ToyMetrics(SPACE, gap=2), proxies=("m0", "m1", "m2"))
    combined = method._combined
    assert combined.candidates.incomplete.sum() == SPACE.size // 2
    assert not combined.candidates.incomplete[combined.tops].any()


def test_late_outcomes_keep_the_sequence_of_the_trials():
    """With three pending at a time the vectors chosen differ from today's, yet every trial stays in it."""
    method, values = hidden(ToyMetrics(SPACE), budget=9)
    pending = []
    for _ in range(9):
        pending += method.ask()
        if len(pending) == 3:
            trial = pending.pop(0)
            method.tell(trial.number, Outcome.ok(float(values[trial.architecture])))
    explored = [o.trial.architecture for o in method.observations if o.trial.origin == "weights"]
    tried, _ = method._sequence(method._values())
    combined = method._combined
    met = dict.fromkeys(combined.candidates.architectures[combined.tops[i]] for i in tried)
    assert [a for a in met if a in explored] == explored
    assert len(explored) > 3


def test_failures_are_looked_up_as_the_worst():
    method, values = hidden(ToyMetrics(SPACE), budget=10)
    trials = drive(method, lambda a: None if values[a] < 0.3 else values[a], 10)
    assert len({t.architecture for t in trials}) == 10
    assert any(o.outcome.validation is None for o in method.observations)
