"""What other tasks teach: the order of proxies and how far to trust it; what they must not teach."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from po_nas import methods, spaces
from po_nas.core.searcher import Domain
from po_nas.core.trial import SourceTask
from po_nas.errors import ConfigError
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.methods.candidates.transferred_prior import transferred_prior
from po_nas.proxy_scores.transfer import TransferProxies
from surrogates.marginalised_gp import Priors
from tests.errors import raised
from tests.methods.toy import MetricConformance, ToyMetrics, drive, other_task, with_metrics

SPACE = spaces.get("transnas_micro")
LISTED = tuple(SPACE.enumerate())
SCORES = ToyMetrics(SPACE).raw(LISTED, ())


class TestPONASTransfer(MetricConformance):
    method = "po_nas_transfer"
    options = MappingProxyType({"pool": 120, "initial": 4, "initial_by_proxy": 2})
    budget = 10


def value(architecture) -> float:
    """The first metric minus the last: the mean rank of the metrics does not know it."""
    found = ToyMetrics(SPACE).raw([architecture], ())
    return float(found["m0"][0] - found["m2"][0])


def table(task: str, noise: float = 0.0, sign: float = 1.0) -> SourceTask:
    rng = np.random.default_rng(sum(map(ord, task)))
    signal = sign * (SCORES["m0"] - SCORES["m2"]) + noise * rng.normal(size=len(LISTED))
    return SourceTask(task, LISTED, tuple(signal.tolist()), table=True)


def learned(*tasks: SourceTask):
    search = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=tasks, pool=400)
    return search.features(), search._transferred


def test_runs_on_another_task_tell_the_sign_of_a_proxy():
    features, found = learned(other_task(SPACE))
    weights = dict(zip(features.candidates.names, found.weights, strict=True))
    assert weights["m0"] > 0.2 > -0.2 > weights["m2"]
    assert abs(weights["m1"]) < 0.5 * weights["m0"]
    truth = [value(a) for a in features.candidates.architectures]
    assert np.corrcoef(features.fused, truth)[0, 1] > 0.9


def test_the_more_alike_other_tasks_are_the_more_they_are_trusted():
    alike = learned(table("x"), table("y"), table("z"))[1]
    unlike = learned(table("x", 30.0), table("y", 30.0), table("z", 30.0))[1]
    assert alike.nothing < 0.2 < unlike.nothing
    strength = [p.priors.mean_coefficient for p in (alike, unlike)]
    assert strength[0] > strength[1]


def test_the_numbers_of_a_table_are_looked_up_and_what_it_lacks_has_failed():
    whole = table("x")
    part = SourceTask("part", whole.architectures[::2], whole.scores[::2], table=True)
    source = TransferProxies(None, SPACE, [part])
    found = source.values(LISTED[:6], ["transfer:part"])[:, 0]
    assert found[::2].tolist() == list(whole.scores[:6:2])
    assert np.isnan(found[1::2]).all()
    assert "the table of part" in source.origin


def test_the_explanation_has_what_was_learned_before_beside_what_was_learned_here():
    search = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=(table("x"), table("y")), pool=300)
    drive(search, value, 6)
    trust = search.explain()["trust"]
    before = dict(zip(trust["proxies"], trust["rows"][-1]["weights"], strict=True))
    assert trust["rows"][-1]["label"].startswith("other tasks")
    assert before["transfer:x"] == before["transfer:y"] > 0.1
    assert "incumbent" in {row["label"] for row in trust["rows"]}


def test_own_evaluations_change_nothing_of_it():
    search = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=(table("x"), table("y", 3.0)), pool=300)
    before = search._transferred
    drive(search, value, 8)
    other = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=(table("x"), table("y", 3.0)), pool=300)
    drive(other, lambda a: -value(a), 8)
    for found in (search._transferred, other._transferred):
        assert np.array_equal(found.weights, before.weights)
        assert (found.priors, found.nothing) == (before.priors, before.nothing)


def test_a_task_is_never_predicted_by_itself():
    """Trust in a table that is noise must be low, although its own column would predict it without error."""
    tasks = [table("x", 1e3), table("y", 1e3)]
    source = TransferProxies(ToyMetrics(SPACE), SPACE, tasks)
    search = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=tasks, pool=400)
    features = ProxyFeatures.of(search.features().candidates)
    found = transferred_prior(features, source, tasks, Priors())
    assert found.nothing > 0.3
    assert found.priors.mean_coefficient < 0.5


def test_it_is_on_unless_it_is_switched_off():
    tasks = (other_task(SPACE),)
    found = [
        with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=tasks, pool=300, transfer=t)
        for t in ("learned", "equal")
    ]
    assert found[1]._transferred is None
    first, second = (search.features().prior for search in found)
    assert not np.array_equal(first, second)
    assert second.min() >= 0


def test_an_order_that_misleads_is_found_out():
    wrong = tuple(table(name, sign=-1.0) for name in "xy")
    search = with_metrics("po_nas", SPACE, ToyMetrics(SPACE), tasks=wrong, pool=600)
    reached = max(value(t.architecture) for t in drive(search, value, 30))
    assert reached > np.quantile([value(a) for a in LISTED], 0.97)


def test_without_other_tasks_it_is_refused():
    kind = methods.registry.get("po_nas_transfer")
    with raised(ConfigError, "po_nas_transfer", "warm_start"):
        kind(Domain(SPACE, SPACE.to_string, True, 20, proxies=ToyMetrics(SPACE)), seed=0)
    with pytest.raises(ConfigError):
        with_metrics("po_nas_transfer", SPACE, ToyMetrics(SPACE), tasks=())
