from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from po_nas import spaces
from po_nas.core.objective import Outcome
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("darts")
SMALL = MappingProxyType(
    {"pool": 40, "pretraining": "none", "evolve_from": 4, "elite": 3, "pairs": 1, "keep": 5, "initial": 3}
)


class TestPONASEvolving(MetricConformance):
    method = "po_nas"
    options = SMALL | {"initial_by_proxy": 2}
    budget = 6
    space_name = "darts"


def search(name="po_nas_paper", **options):
    options |= {"steps": 5} if name == "po_nas_paper" else {}
    metrics = ToyMetrics(SPACE)
    made = with_metrics(name, SPACE, metrics, identity=SPACE.canonical, budget=8, **SMALL | options)
    return made, metrics, lambda a: float(metrics.values([a], metrics.names)[0].sum())


@pytest.mark.parametrize("name", ["po_nas", "po_nas_paper"])
def test_a_generation_joins_before_each_trial(name):
    made, metrics, value = search(name)
    sizes = []
    for _ in range(6):
        (trial,) = made.ask()
        made.tell(trial.number, Outcome.ok(value(trial.architecture)))
        sizes.append(made._evolution.counts()["offspring_measured"])
    # The growth after trial t is that before trial t + 1.
    assert sizes == [0, 0, 0, 5, 10, 15]
    candidates = made._evolution.now()
    assert len({SPACE.canonical(a) for a in candidates.architectures}) == len(candidates) == len(candidates.position)
    assert candidates.architectures[:40] == made._evolution._base.architectures
    assert candidates.scores == pytest.approx(metrics.values(candidates.architectures, metrics.names))


def test_offspring_are_better_than_the_pool():
    made, _, value = search("po_nas", pool=100, keep=10, elite=4, pairs=2)
    drive(made, value, 7)
    values = [value(a) for a in made._evolution.now().architectures]
    pool, offspring = values[:100], values[100 : 100 + made._evolution.counts()["offspring_measured"]]
    assert np.mean(offspring) > np.mean(pool) + np.std(pool)


def test_evolution_can_be_switched_off_and_its_metrics_limited():
    for options, expected in (({"evolution": False}, 0), ({"proxy_budget": 7}, 7), ({"proxy_budget": 0}, 0)):
        made, _, value = search(**options)
        drive(made, value, 5)
        assert made.explain()["proxies"] == {"offspring_measured": expected, "networks_scored": 0}


def test_evaluations_from_elsewhere_are_learnt_from():
    made, _, value = search("po_nas", evolution=False)
    rng = np.random.default_rng(5)
    given = [SPACE.sample(rng) for _ in range(6)]
    for architecture in given:
        made.tell_custom(architecture, Outcome.ok(value(architecture)))
    features = made.features()
    assert len(features.z) == len(features.candidates) == 46
    assert len(made.predict(features, rng).observed) == 6


def test_the_first_generation_comes_earlier_with_a_warm_start():
    made, _, value = search("po_nas")
    for seed in range(3):
        architecture = SPACE.sample(np.random.default_rng(seed))
        made.tell_custom(architecture, Outcome.ok(value(architecture)))
    drive(made, value, 1)
    assert made._evolution.counts()["offspring_measured"] == 5


def test_a_late_outcome_gives_what_an_early_one_gives():
    """The chain of generations is a function of the trials, not of when they ended."""
    pools = []
    for late in (False, True):
        made, _, value = search()
        trials = [made.ask()[0] for _ in range(5)] if late else []
        for number in range(5):
            trial = trials[number] if late else made.ask()[0]
            made.tell(trial.number, Outcome.ok(value(SPACE.sample(np.random.default_rng(number)))))
        fresh, _, _ = search()
        for observation in made.observations:
            fresh.restore(observation.trial)
            fresh.tell(observation.trial.number, observation.outcome)
        assert fresh._evolution.now().architectures == made._evolution.now().architectures
        pools.append(made._evolution.counts()["offspring_measured"])
    assert pools == [10, 10]


def test_new_sets_know_where_each_is():
    made, _, value = search()
    drive(made, value, 5)
    candidates = made._evolution.now()
    assert len(made._base) == 40 < len(candidates)
    assert candidates.scores.shape == (len(candidates), 3)
    for place, architecture in enumerate(candidates.architectures):
        assert candidates.position[SPACE.canonical(architecture)] == place
