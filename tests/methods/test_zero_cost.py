from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from po_nas import spaces
from po_nas.errors import ProxiesUnavailableError
from proxies.fusion import libra, log_rank, mean_rank
from tests.errors import raised
from tests.methods.toy import MetricConformance, ToyMetrics, drive, with_metrics

SPACE = spaces.get("transnas_micro")


class TestZeroCost(MetricConformance):
    method = "zero_cost"
    learns = False
    options = MappingProxyType({"pool": 100})
    budget = 12


class TestZeroCostBeyondItsPool(MetricConformance):
    """The space goes on where the candidates end."""

    method = "zero_cost"
    learns = False
    options = MappingProxyType({"pool": 6, "fusion": "single"})
    budget = 12
    space_name = "darts"


SIZED = ("m0", "m1", "params")


class TestZeroCostByLibra(MetricConformance):
    method = "zero_cost"
    options = MappingProxyType({"pool": 100, "fusion": "libra", "initial": 5})
    budget = 12
    names = SIZED


def test_libra_chooses_by_what_was_evaluated():
    """The objective is one proxy turned round: after the initial design the search goes down its ranks."""
    metrics = ToyMetrics(SPACE, SIZED)
    everything = list(SPACE.enumerate())
    column = metrics.values(everything, ["m1"])[:, 0]
    worth = dict(zip(everything, -column, strict=True))
    method = with_metrics("zero_cost", SPACE, metrics, fusion="libra", initial=8)
    trials = drive(method, worth.__getitem__, 16)
    assert [t.origin for t in trials] == ["random"] * 8 + ["libra"] * 8
    found = libra(
        metrics.values([t.architecture for t in trials[:8]], metrics.names),
        [worth[t.architecture] for t in trials[:8]],
        metrics.values([t.architecture for t in trials[:8]], ["params"])[:, 0],
    )
    assert found.columns[0] == 1
    assert found.signs[0] == -1
    fused = found(metrics.values(everything, metrics.names))
    initial = {t.architecture for t in trials[:8]}
    best = max(score for score, architecture in zip(fused, everything, strict=True) if architecture not in initial)
    assert fused[everything.index(trials[8].architecture)] == pytest.approx(best)


def test_libra_needs_sizes():
    with raised(ProxiesUnavailableError, "'params'"):
        with_metrics("zero_cost", SPACE, ToyMetrics(SPACE), fusion="libra")


@pytest.mark.parametrize("fusion", ["log_rank", "mean_rank"])
def test_evaluates_in_the_order_of_the_fusion(fusion):
    metrics = ToyMetrics(SPACE)
    everything = list(SPACE.enumerate())
    scores = {"log_rank": log_rank, "mean_rank": mean_rank}[fusion](metrics.values(everything, metrics.names[:2]))
    wanted = np.sort(scores)[::-1][:20]
    trials = drive(with_metrics("zero_cost", SPACE, metrics, fusion=fusion, proxies=("m0", "m1")), lambda a: 0.0, 20)
    places = [everything.index(t.architecture) for t in trials]
    assert scores[places] == pytest.approx(wanted)
    assert {t.origin for t in trials} == {fusion}


def test_a_single_metric_and_the_rule_that_chooses_it():
    metrics = ToyMetrics(SPACE, ("flops", "m1", "nwot"))
    everything = list(SPACE.enumerate())
    for metric, name in (("auto", "nwot"), ("m1", "m1")):
        best = everything[int(metrics.values(everything, [name]).argmax())]
        (trial,) = drive(with_metrics("zero_cost", SPACE, metrics, fusion="single", proxy=metric), lambda a: 0.0, 1)
        assert metrics.values([trial.architecture], [name]) == pytest.approx(metrics.values([best], [name]))
    unknown = with_metrics("zero_cost", SPACE, ToyMetrics(SPACE, ("b", "a")), fusion="single", pool=20)
    assert unknown._ordered[0].names == ("b", "a")
    first = unknown.ask()[0].architecture
    pool = unknown._ordered[0]
    assert ToyMetrics(SPACE, ("b", "a")).values([first], ["b"])[0, 0] == pytest.approx(pool.scores[:, 0].max())


def test_missing_ranks_last_and_ties_depend_on_the_seed():
    class Flat(ToyMetrics):
        def values(self, architectures, names):
            found = np.ones((len(architectures), len(names)))
            found[:5] = np.nan
            return found

    metrics = Flat(SPACE, ("flat",))
    runs = []
    for seed in (1, 2):
        method = with_metrics("zero_cost", SPACE, metrics, seed=seed, fusion="single")
        pool, order = method._ordered
        assert set(order[-5:]) == set(range(5))
        assert len(pool) == len(order)
        runs.append(order)
    assert runs[0] != runs[1]
