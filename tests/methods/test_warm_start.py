"""Warm-start observations are those of an initial design, for every method and with its default options."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import methods, spaces
from po_nas.core.objective import Outcome
from po_nas.testing import ToyObjective
from tests.methods.toy import ToyMetrics, drive, with_metrics

SPACE = spaces.get("transnas_micro")
OBJECTIVE = ToyObjective(SPACE)
NEXT = {
    "regularized_evolution": "evolution",
    "mo_regularized_evolution": "evolution",
    "nsga2": "evolution",
    "local_search": "neighbour",
    "gp_bo": "acquisition",
    "gp_proxies": "acquisition",
    "po_nas": "acquisition",
    "po_nas_transfer": "acquisition",
    "po_nas_paper": "fusion",
    "pwlnas": "predictor",
    "bananas": "predictor",
    "npenas": "predictor",
    "weaknas": "predictor",
    "robot": "weights",
}
"""Why the first trial after a warm start is proposed."""
QUICK = {
    "po_nas_paper": {"pool": 60, "pretraining": "none", "steps": 3},
    **{name: {"steps": 3} for name in ("pwlnas", "bananas", "npenas", "weaknas")},
    **{name: {"pool": 200} for name in ("po_nas", "po_nas_transfer", "gp_proxies", "robot")},
}


def warm(name, n, **options):
    search = with_metrics(name, SPACE, ToyMetrics(SPACE), **QUICK.get(name, {}) | options)
    rng = np.random.default_rng(0)
    while len(search.observations) < n:
        architecture = SPACE.sample(rng)
        if not search.is_seen(architecture):
            search.tell_custom(architecture, Outcome.ok(OBJECTIVE.value(architecture)))
    return search


WITHOUT_A_START = ("random", "zero_cost", "asha", "hyperband")


@pytest.mark.parametrize("name", [name for name in methods.names() if name not in WITHOUT_A_START])
def test_nothing_is_spent_on_a_start_that_has_been_made(name):
    search = warm(name, 40)
    assert [trial.origin for trial in drive(search, OBJECTIVE.value, 2)] == [NEXT[name]] * 2


def test_evolution_breeds_from_the_warm_start():
    search = warm("regularized_evolution", 40, population=40, sample=40)
    best = max(search.successes, key=lambda o: o.outcome.validation).trial.architecture
    (trial,) = search.ask()
    assert SPACE.edit_distance(best, trial.architecture) <= 3


@pytest.mark.parametrize("name", ["pwlnas", "bananas", "npenas", "weaknas", "gp_bo", "regularized_evolution"])
def test_a_part_of_the_start_saves_that_part(name):
    options = {"population": 6} if name == "regularized_evolution" else {"initial": 6}
    origins = [trial.origin for trial in drive(warm(name, 4, **options), OBJECTIVE.value, 4)]
    assert origins == ["initial"] * 2 + [NEXT[name]] * 2


def test_rounds_learn_from_the_warm_start():
    search = warm("pwlnas", 25, queries=3)
    seen = []
    search.rank = lambda known, usable, sequence: seen.append(len(known)) or []
    drive(search, OBJECTIVE.value, 7)
    assert seen == [25, 28, 31]


def test_robot_has_tried_the_vectors_of_its_warm_start():
    search = with_metrics("robot", SPACE, ToyMetrics(SPACE), **QUICK["robot"])
    combined = search._combined
    places = [int(place) for place in dict.fromkeys(combined.tops)][:3]
    for place in places:
        architecture = combined.candidates.architectures[place]
        search.tell_custom(architecture, Outcome.ok(OBJECTIVE.value(architecture)))
    tried, place = search._sequence(search._values())
    assert tried[:3] == [combined.first(p) for p in places]
    assert place not in places
