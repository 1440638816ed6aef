"""NAS-Bench-Graph from the installed wheel."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks
from po_nas.benchmarks import nasbench_graph
from po_nas.errors import DataError
from tests.errors import raised

BEST_TEST = {
    "cora": 83.13,
    "citeseer": 71.57,
    "pubmed": 78.60,
    "cs": 91.26,
    "physics": 93.00,
    "photo": 92.79,
    "computers": 85.58,
    "arxiv": 72.39,
    "proteins": 79.26,
}


@pytest.mark.parametrize("task", BEST_TEST)
def test_optima(task):
    benchmark = benchmarks.get(f"nasbench_graph/{task}")
    assert benchmark.distinct == (2_021 if task == "proteins" else 26_206)
    assert round(benchmark.optimum_test[0], 2) == BEST_TEST[task]
    assert not np.isnan(benchmark.validation).any()
    assert ("ROC-AUC" if task == "proteins" else "accuracy") in benchmark.metric.name


def test_validation_and_test_agree_as_published():
    for task, correlation in (("pubmed", 0.34), ("arxiv", 0.99)):
        benchmark = benchmarks.get(f"nasbench_graph/{task}")
        found = np.corrcoef(benchmark.validation, benchmark.test)[0, 1]
        assert found == pytest.approx(correlation, abs=6e-3)


@pytest.mark.parametrize("task", ["cora", "proteins"])
def test_every_architecture_of_the_space_has_a_row(task):
    benchmark = benchmarks.get(f"nasbench_graph/{task}")
    rng = np.random.default_rng(0)
    for _ in range(200):
        architecture = benchmark.space.sample(rng)
        row = benchmark.row(architecture)
        recorded = benchmark.rows.architecture(row)
        assert benchmark.space.canonical(recorded) == benchmark.space.canonical(architecture)
        assert benchmark.row(recorded) == row


def test_units():
    report = benchmarks.get("nasbench_graph/cora").report(benchmarks.get("nasbench_graph/cora").rows.architecture(0))
    assert report["test"] == pytest.approx(79.7)
    assert report["params"] == pytest.approx(1.736711)
    assert report["latency"] == pytest.approx(5.922, abs=1e-3)


def test_a_table_of_the_wrong_size_is_refused(monkeypatch):
    monkeypatch.setattr(nasbench_graph, "_SIZES", {"proteins": 7})
    with raised(DataError, "2021", "7", "nas-bench-graph"):
        nasbench_graph.load("proteins", "full")
