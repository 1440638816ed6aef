from __future__ import annotations

import pickle

import numpy as np
import pytest

import po_nas
import proxies
from po_nas import spaces
from po_nas.core.objective import Objective
from po_nas.core.proxy_source import ProxySource
from po_nas.errors import UnknownNameError
from po_nas.proxy_scores.combined import with_computed_proxies
from po_nas.proxy_scores.computed import ComputedProxies
from po_nas.testing import ToyObjective
from proxies.synthetic import synthetic_images

SPACE = spaces.get("nasbench201")
BATCH = synthetic_images(4, 3, 8, seed=0)
SMALL = {"num_classes": 3, "channels": 4, "cells": 1}
NAMES = ("snip", "grad_norm", "params")


def architectures(n, seed=0):
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(n)]


def source(**options):
    return ComputedProxies(SPACE, NAMES, BATCH, network=SMALL, **options)


def test_scores_are_those_of_the_engine_turned_so_that_more_is_better():
    metrics = ComputedProxies(SPACE, ("snip", "epe_nas", "ntk"), BATCH, network=SMALL)
    assert isinstance(metrics, ProxySource)
    (one,) = architectures(1, seed=3)
    names = metrics.names
    found = metrics.values([one], names)[0]
    (result,) = proxies.score_many([one], BATCH, names, build=lambda a: SPACE.build(a, **SMALL))
    expected = [result.values.get(name, np.nan) for name in names]
    assert np.isfinite(expected).any()
    signs = [proxies.spec(name).direction for name in names]
    assert -1 in signs
    np.testing.assert_allclose(found, np.array(expected) * signs)


def test_each_network_is_scored_once_and_counted(tmp_path):
    some = architectures(3)
    metrics = source()
    first = metrics.values(some, NAMES)
    assert first.shape == (3, 3)
    assert np.isfinite(first).all()
    assert metrics.computed == len(set(some))
    again = metrics.values([some[1], some[0], some[1]], ("params", "snip"))
    np.testing.assert_array_equal(again, first[[1, 0, 1]][:, [2, 0]])
    assert metrics.computed == len(set(some))


def test_a_cache_outlives_the_search(tmp_path):
    some = architectures(3)
    first, second = (source(cache=tmp_path / "scores.sqlite") for _ in range(2))
    np.testing.assert_array_equal(first.values(some, NAMES), second.values(some, NAMES))
    assert (first.computed, second.computed) == (3, 0)
    other = ComputedProxies(SPACE, NAMES, BATCH, network=SMALL | {"channels": 5}, cache=tmp_path / "scores.sqlite")
    assert (other.values(some, ("params",)) != first.values(some, ("params",))).any()
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copy.values(some, NAMES), first.values(some, NAMES))


def test_what_fails_is_missing():
    metrics = ComputedProxies(SPACE, "params", BATCH, network={"num_classes": -1})
    assert np.isnan(metrics.values(architectures(2), ("params",))).all()
    assert metrics.values([], ("params",)).shape == (0, 1)


def test_that_a_network_has_no_score_is_kept_and_other_failures_are_not(tmp_path, monkeypatch):
    nothing = SPACE.from_string("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    first, second = (
        ComputedProxies(SPACE, ("zico",), BATCH, network=SMALL, cache=tmp_path / "scores.sqlite") for _ in range(2)
    )
    for metrics in (first, second):
        assert np.isnan(metrics.values([nothing], ("zico",))).all()
    assert (first.computed, second.computed) == (1, 0)

    def broken(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(SPACE), "build", broken)
        failed = source(cache=tmp_path / "scores.sqlite")
        assert np.isnan(failed.values([nothing], ("params",))).all()
    again = source(cache=tmp_path / "scores.sqlite")
    assert np.isfinite(again.values([nothing], ("params",))).all()


def test_names_are_checked():
    with pytest.raises(UnknownNameError):
        ComputedProxies(SPACE, ("snipp",), BATCH)
    with pytest.raises(UnknownNameError):
        source().values(architectures(1), ("fisher",))


def test_a_search_on_an_objective_without_recorded_metrics(tmp_path):
    objective = with_computed_proxies(ToyObjective(SPACE), ("params", "flops"), BATCH, network=SMALL)
    assert isinstance(objective, Objective)
    options = {"name": "po_nas_paper", "pool": 20, "pretraining": "none", "steps": 3, "proxies": ["params"]}
    result = po_nas.search(benchmark=objective, method=options, budget=5, out=tmp_path / "run")
    assert objective.proxies.computed >= 20
    assert result.evaluations == 5
