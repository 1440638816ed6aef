from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from po_nas import benchmarks
from po_nas.errors import UnknownNameError
from po_nas.proxy_scores.table import ScoreTable
from po_nas.research.proxy_correlation.report import (
    agreement_table,
    draw_heat_map,
    draw_scatter,
    group_table,
    write_correlation,
)
from po_nas.research.proxy_correlation.run import agreements, as_table, correlate, fusions
from po_nas.research.proxy_correlation.strata import dominant_operation, groups_of
from po_nas.spaces.base import OperationGraph
from tests.errors import raised


@pytest.fixture(scope="module")
def cifar10():
    return benchmarks.get("nasbench201/cifar10")


def graph(*labels):
    return OperationGraph(("input", *labels, "output"), ())


@pytest.mark.parametrize(
    ("labels", "dominant"),
    [
        (("conv", "conv", "skip"), "conv"),
        (("conv", "skip"), "conv"),
        (("conv", "skip", "pool"), "mixed"),
        ((), "none"),
        (("normal.conv", "normal.input", "normal.conv"), "normal.conv"),
    ],
)
def test_dominant_operation(labels, dominant):
    assert dominant_operation(graph(*labels)) == dominant


def test_groups_are_masks_over_rows_and_large_enough(cifar10):
    sizes = np.asarray(cifar10.extras["params"])
    groups = groups_of(cifar10, sizes)
    thirds = [groups[name] for name in ("few parameters", "medium", "many parameters")]
    assert np.sum(thirds, axis=0).tolist() == [1] * 15625
    assert sizes[thirds[0]].max() < sizes[thirds[2]].min()
    operations = [mask for name, mask in groups.items() if name.startswith(("mostly", "mixed", "none"))]
    assert np.sum(operations, axis=0).max() == 1
    assert np.sum(operations) > 15000
    assert all(mask.sum() >= 50 for mask in groups.values())


def test_agreement_of_known_scores(cifar10):
    validation = np.asarray(cifar10.validation)
    noise = np.random.default_rng(0).normal(size=len(validation))
    partly = np.where(np.arange(len(validation)) % 2, validation, np.nan)
    scores = {"itself": validation, "reversed": -validation, "noise": noise, "partly": partly}
    found = {a.score: a for a in agreements(cifar10, scores, against="validation", within_groups=False, resamples=20)}
    assert found["itself"].kendall == pytest.approx(1)
    assert found["itself"].precision > 99
    assert found["reversed"].kendall == pytest.approx(-1)
    assert found["noise"].kendall_low < 0 < found["noise"].kendall_high
    assert found["noise"].kendall_high - found["noise"].kendall_low < 0.05
    assert found["partly"].coverage == pytest.approx(0.5, abs=0.01)
    assert found["partly"].rows < 7900
    assert all(a.against == "validation" for a in found.values())


def test_the_interval_covers_as_often_as_it_says(cifar10):
    # A benchmark's rows are all there are; here rows are drawn from a population whose tau is known.
    rng = np.random.default_rng(1)
    rho, hits = 0.6, 0
    from po_nas.research.proxy_correlation.run import _interval
    from po_nas.research.ranking import kendall

    for _ in range(60):
        first = rng.normal(size=400)
        second = rho * first + np.sqrt(1 - rho**2) * rng.normal(size=400)
        low, high = _interval(first, second, kendall(first, second), 60, rng)
        hits += low < 2 / np.pi * np.arcsin(rho) < high
    assert 50 <= hits <= 60


def test_tables_and_figures(cifar10, tmp_path):
    scores = {"params": np.asarray(cifar10.extras["params"]), "half": np.full(len(cifar10.rows), np.nan)}
    scores["half"][:8000] = 1.0
    found = agreements(cifar10, scores, sizes=scores["params"], resamples=5)
    assert "| params |" in agreement_table(found)
    assert "(51%)" in agreement_table(found)
    assert "few parameters" in group_table(found, cifar10.name)
    assert as_table(found).num_rows == len(found)
    scatter = draw_scatter(scores, cifar10.validation, "validation (%)")
    for number, figure in enumerate((draw_heat_map(found), draw_heat_map(found, "group"), scatter)):
        figure.savefig(tmp_path / f"{number}.png", dpi=40)
        assert (tmp_path / f"{number}.png").stat().st_size > 2000


def test_bad_target(cifar10):
    with raised(UnknownNameError, kind="split", name="train"):
        agreements(cifar10, {}, against="train")


def test_fusions_rank_by_all_of_known_direction(cifar10):
    validation = np.asarray(cifar10.validation)
    rng = np.random.default_rng(3)

    def noisy(sign, strength):
        return sign * validation + rng.normal(size=len(validation)) * strength

    noisy_ones = {"jacov": noisy(1, 9), "ntk": noisy(-1, 9), "plain": noisy(-1, 0), "mystery": noisy(1, 0)}
    columns = noisy_ones | {"snip": np.where(np.arange(len(validation)) % 5, noisy(1, 20), np.nan)}
    columns["grasp"] = np.where(np.arange(len(validation)) % 5, np.nan, validation)
    found = fusions(columns, validation)
    # plain has no direction, grasp too few scores, nobody knows the mystery; AZ-NAS lacks all of its four.
    assert set(found) == {"mean rank", "single best"}
    np.testing.assert_array_equal(np.isfinite(found["mean rank"]), np.isfinite(columns["snip"]))
    taus = {a.score: a.kendall for a in agreements(cifar10, columns | found, within_groups=False, resamples=3)}
    assert taus["mean rank"] > max(taus["jacov"], -taus["ntk"], taus["snip"])
    assert taus["single best"] == pytest.approx(max(taus["jacov"], -taus["ntk"]))
    # LIBRA needs the sizes, and takes up to three that are nearly as good as the best.
    sizes = np.asarray(cifar10.extras["params"])
    alike = {name: noisy(sign, 3) for name, sign in (("jacov", 1), ("ntk", -1), ("nwot", 1), ("snip", 1))}
    three = fusions({**alike, "params": sizes}, validation)
    taus = {a.score: a.kendall for a in agreements(cifar10, three, within_groups=False, resamples=3)}
    assert taus["LIBRA"] > taus["single best"] + 0.03
    with_four = {name: noisy(1, 5) for name in ("az_expressivity", "az_progressivity", "az_trainability", "flops")}
    assert "log rank (AZ-NAS)" in fusions(with_four, validation)


def test_own_and_published_scores_side_by_side(cifar10, monkeypatch, tmp_path):
    sizes = np.asarray(cifar10.extras["params"])
    rng = np.random.default_rng(0)

    def table(strength):
        values = np.stack([sizes, np.asarray(cifar10.validation) + strength * rng.normal(size=len(sizes))], axis=1)
        return ScoreTable(cifar10.name, ("params", "jacov"), values, np.full_like(values, np.nan), "made up", ())

    told = replace(cifar10, scores={"own": lambda: table(10), "published": lambda: table(20)})
    monkeypatch.setattr(benchmarks, "get", lambda name: told)
    compared, missing = correlate([cifar10.name], within_groups=False, resamples=3)
    assert not missing
    taus = {a.label: a.kendall for a in compared[0].found}
    assert taus["jacov (own)"] > taus["jacov"] + 0.05
    assert {a.origin for a in compared[0].found} == {"own", "published"}
    assert set(compared[0].columns) == set(taus) >= {"mean rank (own)", "single best"}
    own, _ = correlate([cifar10.name], origins=("own",), within_groups=True, resamples=3)
    assert all(label.endswith("(own)") for label in own[0].columns)
    paths = write_correlation(own, tmp_path)
    names = ["nasbench201-cifar10-scatter.png", "nasbench201-cifar10.png", "fusions.md"]
    assert [path.name for path in paths[3:]] == names
    assert f"| {cifar10.name} | own |" in paths[-1].read_text()
    assert "jacov (own)" in paths[1].read_text()
    with raised(UnknownNameError, name="darts/*"):
        correlate(["darts/*"], origins=("own",))
