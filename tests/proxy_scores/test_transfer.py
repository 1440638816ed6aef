from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from po_nas import methods, spaces
from po_nas.core.searcher import Domain
from po_nas.core.trial import SourceTask
from po_nas.errors import ProxiesUnavailableError, UnknownNameError
from po_nas.methods.candidates.candidate_set import scored_candidates
from po_nas.proxy_scores.transfer import TransferProxies
from tests.methods.toy import ToyMetrics, drive

SPACE = spaces.get("transnas_micro")
ARCHITECTURES = list(SPACE.enumerate())
WEIGHTS = np.random.default_rng(7).normal(size=SPACE.vector_size)


def value(architecture) -> float:
    return float(SPACE.encode_vector(architecture) @ WEIGHTS)


def evaluated(n: int, task: str = "other/task") -> SourceTask:
    chosen = np.random.default_rng(0).choice(len(ARCHITECTURES), n, replace=False)
    told = tuple(ARCHITECTURES[i] for i in chosen)
    return SourceTask(task, told, tuple(value(a) for a in told))


def test_the_other_task_is_a_metric_that_orders_what_it_was_not_told():
    source = TransferProxies(ToyMetrics(SPACE), SPACE, [evaluated(60)])
    assert source.names == ("m0", "m1", "m2", "transfer:other/task")
    assert "60 " in source.origin
    assert "other/task" in source.origin
    asked = ARCHITECTURES[5:400:3]
    found = source.values(asked, ["transfer:other/task", "m1"])
    assert kendalltau(found[:, 0], [value(a) for a in asked]).statistic > 0.6
    assert np.array_equal(found[:, 1], ToyMetrics(SPACE).values(asked, ["m1"])[:, 0])
    with pytest.raises(UnknownNameError):
        source.values(asked, ["m9"])


def domain(*tasks, metrics=None):
    return Domain(SPACE, SPACE.to_string, True, 50, proxies=metrics, source_tasks=tasks)


def test_a_pool_has_it_even_where_metrics_are_chosen():
    pool = scored_candidates(domain(evaluated(20), metrics=ToyMetrics(SPACE)), 0, "robot", ["m2"], 100)
    assert pool.names == ("m2", "transfer:other/task")
    again = scored_candidates(domain(evaluated(20), metrics=ToyMetrics(SPACE)), 0, "robot", None, 100)
    assert again.names == ("m0", "m1", "m2", "transfer:other/task")


def test_without_metrics_another_task_will_do():
    kind = methods.registry.get("po_nas")
    with pytest.raises(ProxiesUnavailableError):
        kind(domain(), seed=0)
    search = kind(domain(evaluated(40)), seed=0, options=kind.Options(pool=800))
    reached = max(value(t.architecture) for t in drive(search, value, 6))
    assert reached > np.quantile([value(a) for a in ARCHITECTURES], 0.99)
    assert search.explain()["trust"]["proxies"] == ["transfer:other/task"]


def test_a_task_that_says_the_opposite_is_found_out():
    kind = methods.registry.get("po_nas")
    opposite = evaluated(40)
    opposite = SourceTask("opposite", opposite.architectures, tuple(-s for s in opposite.scores))
    search = kind(domain(opposite), seed=0, options=kind.Options(pool=800))
    drive(search, value, 25)
    assert search.trust(np.random.default_rng(0))[:, 0].mean() < 0.2
    reached = max(value(o.trial.architecture) for o in search.successes)
    assert reached > np.quantile([value(a) for a in ARCHITECTURES], 0.99)
