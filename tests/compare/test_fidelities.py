"""Comparisons of searches that evaluate at lower fidelities."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import po_nas
from po_nas import benchmarks
from po_nas.benchmarks.base import Shorter
from po_nas.compare.chart import chart
from po_nas.compare.design import ComparisonConfig
from po_nas.compare.figures import make_figures
from po_nas.compare.protocol import protocol_line
from po_nas.compare.results import Study
from po_nas.compare.run import run_comparison
from po_nas.compare.runs import read_runs
from po_nas.compare.store import COLUMNS
from po_nas.compare.tables import make_tables
from po_nas.reports.run import load_run
from tests.compare.toy import NAN, toy_study

TASK = "short/cifar10"
METHODS = {
    "random": "random",
    "asha": {"name": "asha", "eta": 16},
    "po_nas": {"name": "po_nas", "fidelities": True},
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A study of one search with room for what it was told."""
    return toy_study(tmp_path_factory.mktemp("toy"), {("t", "a", 0): [1.0]})


@given(
    st.lists(st.tuples(st.integers(0, 10), st.sampled_from([1.0, 3.0, NAN]), st.booleans()), min_size=1, max_size=14)
)
def test_what_was_found_after_so_many_full_evaluations(table, told):
    """By hand: the best of the full evaluations that were over when all that was spent was no more than that."""
    costs = {1.0: 1 / 9, 3.0: 1 / 3}
    shares = [costs.get(fidelity, 1.0) for _, fidelity, _ in told]
    rows = [
        {
            "benchmark": "t", "method": "a", "seed": 0, "evaluation": n, "architecture": f"a{n}",
            "validation": NAN if failed else float(value), "test": NAN, "cost_s": 2.0, "overhead_s": 0.5,
            "clock_s": 2.0 * n, "rank": NAN, "fidelity": fidelity, "spent": math.fsum(shares[:n]),
        }
        for n, (value, fidelity, failed) in enumerate(told, 1)
    ]  # fmt: skip
    budget = math.ceil(sum(shares) - 1e-9)
    config = {**table.config, "budget": budget}
    study = Study.of(pa.Table.from_pylist(rows, schema=COLUMNS), {**table.record, "config": config})

    def best(spent):
        found = [r["validation"] for r in rows if r["spent"] <= spent + 1e-9 and math.isnan(r["fidelity"])]
        return max((value for value in found if not math.isnan(value)), default=NAN)

    np.testing.assert_array_equal(study.curves("validation", "t", "a"), [[best(n) for n in range(1, budget + 1)]])
    for target in (0.0, 2.0, 5.0):
        reached = [r for r in rows if 10 - best(r["spent"]) <= target]
        evaluations, seconds = study.to_target("t", "a", target)
        assert evaluations[0] == (reached[0]["spent"] if reached else math.inf)
        assert seconds[0] == (reached[0]["clock_s"] if reached else math.inf)
    assert study.lower_fidelities == any(not math.isnan(fidelity) for _, fidelity, _ in told)


@pytest.fixture(scope="module", autouse=True)
def task():
    """NAS-Bench-201 with made-up trainings of 12 of its 200 epochs, for the real ones have to be fetched."""

    def load(name, feedback):
        table = benchmarks.get("nasbench201/cifar10", feedback)
        early = table.validation - np.random.default_rng(0).exponential(2.0, len(table.validation))
        return dataclasses.replace(table, name=TASK, shorter={12: Shorter(early, 0.06)}, epochs=200)

    benchmarks.register(TASK, summary="with short trainings", spec=benchmarks.BenchmarkSpec("nasbench201"))(load)
    yield
    benchmarks.registry.remove(TASK)


@pytest.fixture(scope="module")
def study(task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    config = ComparisonConfig(benchmarks=TASK, methods=METHODS, seeds=2, budget=7, at=[3, 7], targets=[1.0, 50.0])
    run_comparison(config, folder)
    return Study.load(folder)


def test_searches_are_those_of_po_nas_search(study, tmp_path):
    for label, method in METHODS.items():
        po_nas.search(benchmark=TASK, method=method, budget=7, out=tmp_path / label)
        run = load_run(tmp_path / label)
        search = study.searches[TASK, label, 0]
        assert list(search.architecture) == [trial.architecture for trial in run.told]
        np.testing.assert_allclose(search.columns["spent"], run.spent(), rtol=0, atol=1e-12)
        np.testing.assert_array_equal(
            search.columns["fidelity"], [NAN if t.fidelity is None else t.fidelity for t in run.told]
        )
        low = np.isfinite(search.columns["fidelity"])
        assert low.any() == (label != "random")
        assert np.isnan(search.columns["rank"][low]).all()
        assert np.isfinite(search.columns["rank"][~low]).all()
        assert study.curves("validation", TASK, label)[0, -1] == run.incumbent().validation
        if label == "po_nas":
            # Told what was found at both fidelities, a fresh searcher has learned the same.
            (trust,) = study.trust
            np.testing.assert_allclose(trust.weights[0], run.trust()["rows"][0]["weights"], atol=1e-6)


def test_it_is_said_what_an_evaluation_is(study, tmp_path):
    plain = toy_study(tmp_path, {("t", "a", 0): [1.0]})
    assert len(protocol_line(study)) > len(protocol_line(plain))
    assert "lower fidelities" in protocol_line(study)
    assert "lower fidelities" not in protocol_line(plain)
    assert '"counted":"full evaluations"' in chart(study)
    assert {table.name for table in make_tables(study)} >= {"to_target", "to_optimum"}
    assert "anytime_evaluations" in make_figures(study)


def test_run_directories_are_compared_after_full_evaluations(tmp_path):
    runs = []
    for label, budget in (("random", 5), ("asha", 7)):
        runs.append(tmp_path / label)
        po_nas.search(benchmark=TASK, method=METHODS[label], budget=budget, out=runs[-1])
    study = read_runs(runs)
    assert study.budget == 5
    (asha,) = (search for key, search in study.searches.items() if key[1].startswith("asha"))
    spent = load_run(tmp_path / "asha").spent()
    assert len(asha) == sum(value <= 5 + 1e-9 for value in spent) < len(spent)
