"""`po_nas` with a predictor: what it is trained on, what it sees, what is refused."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from pydantic import ValidationError

from po_nas import spaces
from po_nas.core.objective import Outcome
from po_nas.errors import UnknownNameError
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("transnas_micro")
QUICK = {"steps": 5, "members": 3, "network_options": {"width": 8}}
OTHERS = ToyMetrics(SPACE, ("other",))


class TestPONASWithAPredictor(MetricConformance):
    method = "po_nas"
    options = MappingProxyType(
        {"pool": 120, "initial": 4, "initial_by_proxy": 2, "predictor": {**QUICK, "every": 3, "name": "mlp"}}
    )
    budget = 10


@pytest.mark.slow
class TestPONASWithAPredictorInALargeSpace(MetricConformance):
    method = "po_nas"
    options = MappingProxyType({"pool": 60, "evolve_from": 6, "predictor": {**QUICK, "every": 3}})
    budget = 8
    space_name = "darts"


def value(architecture) -> float:
    return float(SPACE.encode_vector(architecture) @ np.random.default_rng(7).normal(size=SPACE.vector_size))


def search(metrics=None, **options):
    return with_metrics("po_nas", SPACE, metrics or ToyMetrics(SPACE), pool=150, predictor={**QUICK, **options})


def test_it_is_trained_every_so_many_evaluations_and_stays_out_of_fold_between():
    found = search(every=6)
    drive(found, value, 14)
    features = found.features()
    places = features.candidates.positions(found.domain.identity(o.trial.architecture) for o in found.successes)
    scores = np.array([o.outcome.validation for o in found.successes])
    said = found.learned(features, places, scores)
    assert np.array_equal(said, found.learned(features, places[:12], scores[:12]))
    # What came behind the last training may be anything.
    scores[12:] += 100
    assert np.array_equal(said, found.learned(features, places, scores))
    scores[0] += 100
    assert not np.array_equal(said, found.learned(features, places, scores))
    assert found.learned(features, places[:5], scores[:5]) is None
    assert found.explain()["trust"]["predictor"].keys() == {"name", "loss", "weight"}


def test_the_piecewise_loss_switches_by_the_number_of_labels():
    found = search(every=6, loss="piecewise", loss_options={"threshold": 9})
    drive(found, value, 14)
    features = found.features()
    places = features.candidates.positions(found.domain.identity(o.trial.architecture) for o in found.successes)
    scores = np.array([o.outcome.validation for o in found.successes])
    stages = [set(found._predictor._fitted(features, np.array(places[:n]), scores[:n]).trained.stages) for n in (6, 12)]
    assert stages[0] != stages[1]


def test_alone_means_that_proxies_say_nothing():
    def trials(metrics, **options):
        by_chance = {"initial_by_proxy": 0, "initial": 4, "pool": 150}
        found = with_metrics("po_nas", SPACE, metrics, **by_chance, predictor={**QUICK, "every": 3, **options})
        return [t.architecture for t in drive(found, value, 9)]

    assert trials(ToyMetrics(SPACE), alone=True) == trials(OTHERS, alone=True)
    assert trials(ToyMetrics(SPACE)) != trials(OTHERS)


def test_it_finds_what_no_proxy_tells():
    found = with_metrics(
        "po_nas", SPACE, OTHERS, pool=400, predictor={"steps": 40, "members": 3, "network_options": {"width": 16}}
    )
    reached = max(value(t.architecture) for t in drive(found, value, 18))
    assert reached > np.quantile([value(a) for a in SPACE.enumerate()], 0.98)


def test_failures_and_equal_values_do_not_stop_it():
    found = search(every=2)
    for number in range(9):
        (trial,) = found.ask()
        found.tell(trial.number, Outcome.failed("none") if number % 3 == 1 else Outcome.ok(1.0))


def test_names_are_checked_before_the_first_evaluation():
    for bad in ({"name": "gnc"}, {"loss": "piecewize"}):
        with pytest.raises((UnknownNameError, ValidationError)):
            search(**bad)
