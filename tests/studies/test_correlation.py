from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks
from po_nas.reports.correlation import agreement_table, draw_heat_map, draw_scatter, group_table
from po_nas.spaces.base import OperationGraph
from po_nas.studies.correlation import agreements, as_table
from po_nas.studies.groups import dominant_operation, groups_of


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
    from po_nas.studies.correlation import _interval
    from po_nas.studies.ranking import kendall

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
    with pytest.raises(ValueError, match="'test' or 'validation'"):
        agreements(cifar10, {}, against="train")
