from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.methods.candidates import Candidates, MetricPool
from po_nas.methods.growth import extended
from po_nas.methods.scaled import MinMax, NormalScores, Ranks
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("darts")
SMALL = MappingProxyType(
    {"pool": 40, "pretraining": "none", "evolve_from": 4, "elite": 3, "pairs": 1, "keep": 5, "initial": 3}
)


class TestPONASEvolving(MetricConformance):
    method = "po_nas"
    options = SMALL | {"by_metrics": 2}
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
        sizes.append(made._growth.now().measured)
    # The growth after trial t is that before trial t + 1.
    assert sizes == [0, 0, 0, 5, 10, 15]
    added = made._growth.now()
    assert len({SPACE.canonical(a) for a in added.architectures}) == len(added.architectures)
    assert not {SPACE.canonical(a) for a in added.architectures[:15]} & set(made._growth._base.candidates.position)
    assert added.values == pytest.approx(metrics.values(added.architectures, metrics.names))


def test_offspring_are_better_than_the_pool():
    made, _, value = search("po_nas", pool=100, keep=10, elite=4, pairs=2)
    drive(made, value, 7)
    added = made._growth.now()
    pool = [value(a) for a in made._growth._base.candidates.architectures]
    assert np.mean([value(a) for a in added.architectures[: added.measured]]) > np.mean(pool) + np.std(pool)


def test_evolution_can_be_switched_off_and_its_metrics_limited():
    for options, expected in (({"evolution": False}, 0), ({"metric_budget": 7}, 7), ({"metric_budget": 0}, 0)):
        made, _, value = search(**options)
        drive(made, value, 5)
        assert made.explain()["metrics"] == {"offspring_measured": expected, "networks_scored": 0}


def test_evaluations_from_elsewhere_are_learnt_from():
    made, _, value = search("po_nas")
    rng = np.random.default_rng(5)
    given = [SPACE.sample(rng) for _ in range(6)]
    for architecture in given:
        made.tell_custom(architecture, Outcome.ok(value(architecture)))
    features = made.features()
    assert len(features.z) == len(features.pool.candidates) == 46
    assert len(made.predict(features, rng).observed) == 6


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
        assert fresh._growth.now().architectures == made._growth.now().architectures
        pools.append(made._growth.now().measured)
    assert pools == [10, 10]


def pool_of(values):
    rng = np.random.default_rng(0)
    architectures = tuple(SPACE.sample(rng) for _ in values)
    listed = Candidates(architectures, {SPACE.canonical(a): i for i, a in enumerate(architectures)}, SPACE)
    return MetricPool(listed, ("a", "b"), np.asarray(values, dtype=float))


def test_min_max_keeps_what_is_missing_and_leaves_the_range():
    scaled = MinMax(pool_of([[1.0, 7.0], [3.0, 7.0], [np.nan, 7.0]]))
    np.testing.assert_allclose(scaled.values, [[0, 0.5], [1, 0.5], [np.nan, 0.5]])
    np.testing.assert_allclose(scaled.others(np.array([[5.0, 9.0], [2.0, np.nan]])), [[2, 0.5], [0.5, np.nan]])


def test_ranks_are_shares_of_the_known_values():
    scaled = Ranks(pool_of([[1.0, 5.0], [1e9, 5.0], [np.nan, 5.0], [2.0, 5.0]]))
    np.testing.assert_allclose(scaled.values, [[1 / 6, 0.5], [5 / 6, 0.5], [np.nan, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(scaled.others(np.array([[1e12, 4.0], [1.5, np.nan]])), [[1, 0], [1 / 3, np.nan]])


def test_normal_scores_of_others_keep_the_order_beyond_the_range():
    values = np.stack([np.arange(20.0), np.where(np.arange(20) < 12, np.nan, np.arange(20.0))], axis=1)
    z = np.stack([np.linspace(-2, 2, 20), np.where(np.isnan(values[:, 1]), 0.0, np.linspace(-3, 1, 20))], axis=1)
    scaled = NormalScores(pool_of(values), z)
    found = scaled.others(np.array([[-1e6, 13.0], [0.0, np.nan], [9.5, 19.0], [19.0, 25.0], [20.0, 26.0], [1e9, 30.0]]))
    assert (np.diff(found[:, 0]) > 0).all()
    assert found[[1, 2, 3], 0] == pytest.approx([-2, 0, 2], abs=1e-9)
    assert np.abs(found).max() < 12
    assert found[1, 1] == 0.0
    assert found[0, 1] == pytest.approx(z[13, 1])


def test_an_extended_pool_knows_where_each_is():
    made, _, value = search()
    drive(made, value, 5)
    added = made._growth.now()
    pool = extended(made._growth._base, added, SPACE.canonical)
    for place, architecture in enumerate(pool.candidates.architectures):
        assert pool.candidates.position[SPACE.canonical(architecture)] == place
    assert pool.values.shape == (40 + len(added.architectures), 3)
