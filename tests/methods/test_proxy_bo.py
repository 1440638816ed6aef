from __future__ import annotations

import json
from types import MappingProxyType

import numpy as np
import pytest

from po_nas import methods, spaces
from po_nas.errors import ProxiesUnavailableError, UnknownNameError
from po_nas.methods.proxy_bo import ProxyBO, ProxyBOOptions, log_error
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("transnas_micro")
SMALL = MappingProxyType({"pool": 120, "initial": 4, "initial_by_proxy": 2})


class TestGPProxies(MetricConformance):
    method = "gp_proxies"
    options = SMALL
    budget = 10


class TestPONAS(MetricConformance):
    method = "po_nas"
    options = SMALL
    budget = 10


@pytest.mark.slow
class TestPONASOverFidelities(MetricConformance):
    method = "po_nas"
    # Of the earlier run few evaluations are full ones, and they are not all of an initial design.
    learns = False
    options = MappingProxyType({**SMALL, "fidelities": True})
    # Lower fidelities come first, for the cost of two full evaluations: eighteen of them.
    budget = 30


@pytest.mark.slow
class TestPONASInALargeSpace(MetricConformance):
    method = "po_nas"
    options = MappingProxyType({"pool": 60, "initial": 4, "initial_by_proxy": 2, "acquisition": "thompson"})
    budget = 8
    space_name = "darts"


def linear(weights):
    metrics = ToyMetrics(SPACE)
    return metrics, lambda a: metrics.values([a], metrics.names)[0] @ weights


@pytest.mark.parametrize("acquisition", ["logei", "ucb", "greedy", "thompson"])
def test_finds_a_weighting_of_metrics_that_is_not_the_prior(acquisition):
    metrics, value = linear(np.array([1.0, -1.5, 0.0]))
    best = max(value(a) for a in SPACE.enumerate())
    search = with_metrics("po_nas", SPACE, metrics, pool=1000, acquisition=acquisition)
    reached = max(value(t.architecture) for t in drive(search, value, 20))
    random = with_metrics("random", SPACE, metrics)
    assert reached > max(value(t.architecture) for t in drive(random, value, 60))
    assert reached > 0.75 * best


def test_trust_finds_the_sign_of_each_weight():
    metrics, value = linear(np.array([1.0, -1.5, 0.0]))
    search = with_metrics("po_nas", SPACE, metrics, pool=500, initial=25, initial_by_proxy=0)
    drive(search, value, 30)
    weights = search.trust(np.random.default_rng(0))
    assert weights.shape[1] == 3
    assert len(weights) >= 500
    middle = weights.mean(axis=0)
    assert middle[0] > 0 > middle[1]
    assert abs(middle[2]) < min(abs(middle[0]), abs(middle[1]))


def test_weights_differ_between_architectures_only_where_asked():
    metrics, value = linear(np.array([1.0, -1.5, 0.0]))
    spread = {}
    for weights in ("architecture", "global", "equal"):
        search = with_metrics("po_nas", SPACE, metrics, pool=200, weights=weights)
        drive(search, value, 12)
        spread[weights] = float(np.ptp(search.trust(np.random.default_rng(0)), axis=0).max())
    assert spread["architecture"] > 1e-3
    assert spread["global"] < 1e-9
    assert spread["equal"] < 1e-9


def test_learned_weights_are_a_hypothesis_as_probable_as_is_said():
    def model(**options):
        search = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), **SMALL, **options)
        return search, search.model(search.features())

    assert model()[1].hypothesis_priors == pytest.approx([0.5, 0.4, 0.1])
    assert model(learned_weights=0.5)[1].hypothesis_priors == pytest.approx([0.5, 0.25, 0.25])
    assert model(learned_weights=1)[1].hypothesis_priors == pytest.approx([0.5, 0.5])
    assert model(learned_weights=0)[1].hypothesis_priors == pytest.approx([0.5, 0.5])
    _, value = linear(np.array([1.0, -1.5, 0.0]))
    never, equal = model(learned_weights=0)[0], model(weights="equal")[0]
    assert [t.architecture for t in drive(never, value, 8)] == [t.architecture for t in drive(equal, value, 8)]


def test_the_first_picks_are_those_of_the_metrics_and_spread():
    metrics, value = linear(np.ones(3))
    search = with_metrics("gp_proxies", SPACE, metrics, initial=5, initial_by_proxy=3)
    trials = drive(search, value, 5)
    assert [t.origin for t in trials] == ["proxies"] * 3 + ["random"] * 2
    every = np.array([value(a) for a in SPACE.enumerate()])
    assert np.mean([np.mean(every < value(t.architecture)) for t in trials[:3]]) > 0.9
    first, second = (t.architecture for t in trials[:2])
    assert SPACE.edit_distance(first, second) > 1


def test_every_method_starts_from_the_same_initial_design():
    """What the models are worth cannot be seen where they start differently."""
    metrics, value = linear(np.ones(3))
    kinds = {e.name: methods.registry.get(e.name) for e in methods.registry.entries()}
    ours = [name for name, kind in kinds.items() if issubclass(kind, ProxyBO)]
    assert set(ours) == {"gp_proxies", "po_nas", "po_nas_transfer"}
    # Another task orders proxies otherwise, and the initial design follows the order.
    ours.remove("po_nas_transfer")
    design = ProxyBOOptions.model_validate({}).initial
    for seed in range(3):
        starts = [drive(with_metrics(name, SPACE, metrics, seed=seed), value, design) for name in ours]
        first, *others = [[(t.origin, t.architecture) for t in trials] for trials in starts]
        assert all(other == first for other in others)


def test_failures_are_the_worst_value_and_are_learnt_from():
    metrics, value = linear(np.ones(3))
    search = with_metrics("po_nas", SPACE, metrics, pool=200)
    trials = drive(search, lambda a: None if a.code[0] == 0 else value(a), 15)
    assert len(trials) == 15


def test_metrics_must_exist():
    with pytest.raises(ProxiesUnavailableError):
        with_metrics("po_nas", SPACE, None)
    with pytest.raises(UnknownNameError):
        with_metrics("gp_proxies", SPACE, ToyMetrics(SPACE), proxies=("nonsense",))


def test_log_error_keeps_the_order_and_forgives_disasters():
    y = np.array([10.0, 88.0, 90.0, 91.0, 91.2, 91.25])
    found = log_error(y)
    assert (np.diff(found) >= 0).all()
    assert found.min() >= -2.5
    assert found[5] - found[3] < found[3] - found[1]
    assert log_error(np.ones(4)) == pytest.approx(np.zeros(4))


def test_explains_itself_in_plain_json():
    metrics, value = linear(np.array([1.0, -1.5, 0.0]))
    search = with_metrics("po_nas", SPACE, metrics, pool=200)
    assert search.explain() is None
    trials = drive(search, value, 12)
    found = search.explain()["trust"]
    assert json.loads(json.dumps(found)) == found == search.explain()["trust"]
    assert found["proxies"] == ["m0", "m1", "m2"]
    assert 0 <= found["believed"] <= 1
    incumbent, *groups = found["rows"]
    assert sum(row["architectures"] for row in groups) >= 200
    best = max((t.architecture for t in trials), key=value)
    place = search.features().candidates.position[SPACE.to_string(best)]
    own = search.trust(search.stream("weights"))[place]
    assert incumbent["weights"] == pytest.approx(own.tolist())
