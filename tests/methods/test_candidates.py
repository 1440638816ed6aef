from __future__ import annotations

import numpy as np
import pytest

from po_nas import spaces
from po_nas.core.searcher import Domain, SharedCache
from po_nas.core.settings import validated
from po_nas.errors import ProxiesUnavailableError, UnknownNameError
from po_nas.methods.candidates.candidate_set import CandidateSet, candidates, scored_candidates
from po_nas.runtime.config import SearchConfig
from po_nas.runtime.setup import make_searcher
from po_nas.testing import ToyObjective
from proxies.normalise import MinMax
from tests.errors import raised
from tests.methods.toy import CACHE, ToyMetrics

SPACE = spaces.get("transnas_micro")


def domain(metrics=None, space=SPACE, identity=None):
    return Domain(space, identity or space.to_string, True, 10, proxies=metrics, cache=CACHE)


def test_a_small_space_is_listed_whole_once():
    listed = candidates(domain(), seed=1)
    assert len(listed) == SPACE.size == len(set(listed.architectures))
    assert candidates(domain(), seed=2) is listed
    third = listed.architectures[3]
    assert listed.positions([SPACE.to_string(third), "none of them"]) == [3]


def test_isomorphic_architectures_are_one_candidate():
    listed = candidates(domain(identity=SPACE.canonical), seed=1)
    assert len(listed) == len({SPACE.canonical(a) for a in SPACE.enumerate()}) < SPACE.size


def test_samples_depend_on_the_seed_alone():
    space = spaces.get("darts")
    first, again, other = (candidates(domain(space=space), seed, 30) for seed in (1, 1, 2))
    assert len(first) == 30
    assert first.architectures == again.architectures != other.architectures
    assert len(candidates(domain(), seed=1, size=50)) == 50


def test_metrics_are_computed_once():
    metrics = ToyMetrics(SPACE)
    told = domain(metrics)
    pool = scored_candidates(told, 0, "m", size=40)
    assert scored_candidates(told, 0, "m", size=40) is pool
    assert metrics.asked == [40]
    assert pool.names == metrics.names
    assert pool.scores == pytest.approx(ToyMetrics(SPACE).values(pool.architectures, metrics.names))
    assert scored_candidates(told, 0, "m", ("m2",), 40).scores[:, 0].tolist() == pool.scores[:, 2].tolist()


def test_missing_metrics():
    sparse = ToyMetrics(SPACE, gap=1)
    pool = scored_candidates(domain(sparse), 0, "m", size=40)
    assert pool.names == ("m1", "m2")
    asked = scored_candidates(domain(sparse), 0, "m", ("m0", "m1"), 40)
    assert asked.incomplete.all()
    assert np.isnan(asked.scores[:, 0]).all()
    scaled = MinMax(asked.scores, "middle").fitted
    assert set(scaled[:, 0]) == {0.5}
    assert (scaled[:, 1].min(), scaled[:, 1].max()) == (0.0, 1.0)
    assert scored_candidates(domain(ToyMetrics(SPACE, gap=4)), 0, "m", size=40).incomplete.sum() == 10


@pytest.mark.parametrize("method", ["robot", "zero_cost"])
def test_without_metrics_nothing_is_spent(method):
    from po_nas import methods

    kind = methods.registry.get(method)
    with raised(ProxiesUnavailableError, method=method, space=SPACE.name):
        kind(domain(), seed=0)
    with raised(UnknownNameError, name="m1x", suggestion="m1"):
        kind(domain(ToyMetrics(SPACE)), seed=0, options=kind.Options(proxies=("m1x",)))
    with raised(ProxiesUnavailableError, method=method, space=SPACE.name):
        scored_candidates(domain(ToyMetrics(SPACE, ("m0",), gap=1)), 0, method, size=20)


class WithProxies(ToyObjective):
    @property
    def proxies(self):
        return ToyMetrics(self.space)


def test_searches_share_what_the_runner_hands_them():
    config = validated(
        SearchConfig,
        {"benchmark": "toy", "method": {"name": "zero_cost"}, "budget": {"max_evaluations": 5}},
    )
    objective, cache = WithProxies(SPACE), SharedCache()
    first, second, alone = (make_searcher(config, objective, cache=c) for c in (cache, cache, None))
    assert candidates(first.domain, 0) is candidates(second.domain, 1)
    assert candidates(alone.domain, 0) is not candidates(first.domain, 0)


def test_of_twins_the_first_or_the_last_is_the_candidate():
    everything = list(SPACE.enumerate())
    first = CandidateSet.of(SPACE, SPACE.canonical, everything)
    last = CandidateSet.of(SPACE, SPACE.canonical, everything, keep="last")
    assert list(first.position) == list(last.position)
    assert set(first.architectures) - set(last.architectures)
    assert first.architectures[0] == everything[0]
    assert everything[-1] in last.architectures
