"""ViT-Bench-101 against facts that were established independently of this code."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks, search
from po_nas.benchmarks import data
from po_nas.benchmarks.base import spearman

# lowest, mean, best, row of the best, rank correlation with parameters
FACTS = {
    "autoformer-c100_base": (67.69, 68.82, 69.91, 32, -0.47),
    "autoformer-c100_kd": (75.81, 77.56, 78.54, 91, 0.72),
    "autoformer-flower_base": (51.99, 53.45, 54.98, 18, 0.45),
    "autoformer-flower_kd": (48.56, 67.60, 69.17, 82, 0.85),
    "autoformer-chaoyang_base": (80.69, 81.82, 83.22, 23, 0.06),
    "autoformer-chaoyang_kd": (84.01, 84.91, 86.40, 91, 0.45),
    "autoformer_2-c100_kd": (75.08, 77.20, 78.80, 48, 0.55),
    "autoformer_2-flower_kd": (66.30, 68.06, 69.59, 73, 0.90),
    "autoformer_2-chaoyang_kd": (83.59, 84.40, 85.37, 1, 0.52),
    "pit-c100_base": (50.73, 71.52, 76.54, 8, 0.89),
    "pit-c100_kd": (50.15, 74.56, 78.96, 98, 0.95),
    "pit-flower_base": (36.48, 55.33, 61.46, 76, 0.93),
    "pit-flower_kd": (36.05, 64.29, 72.06, 76, 0.97),
    "pit-chaoyang_base": (78.21, 82.67, 85.09, 97, 0.74),
    "pit-chaoyang_kd": (77.70, 83.71, 85.18, 73, 0.74),
}


@pytest.fixture(autouse=True)
def _data(public_data):
    public_data("vit_bench")


@pytest.mark.parametrize("task", FACTS)
def test_columns_are_the_published_ones(task):
    low, mean, best, row, rho = FACTS[task]
    benchmark = benchmarks.get(f"vit_bench/{task}")
    values = benchmark.validation
    assert len(values) == benchmark.distinct == 100
    assert values.min() == pytest.approx(low, abs=0.006)
    assert values.mean() == pytest.approx(mean, abs=0.006)
    value, architecture = benchmark.optimum_validation
    assert (value, benchmark.row(architecture)) == (pytest.approx(best, abs=0.006), row)
    assert spearman(values, benchmark.extras["params"]) == pytest.approx(rho, abs=0.006)
    assert "test" in benchmark.feedback.split


def test_all_tasks_are_registered_and_the_supernet_is_none():
    assert {name.partition("/")[2] for name in benchmarks.names("vit_bench/*")} == set(FACTS)
    assert data.table("vit_bench").role("imagenet_super") == "report"


def test_parameters_that_were_published():
    sizes = [benchmarks.get(f"vit_bench/{task}").extras["params"] for task in ("autoformer-c100_kd", "pit-c100_kd")]
    assert (1e6 * sizes[0][:2]).round().tolist() == [5_321_956, 9_573_100]
    assert (1e6 * sizes[1][[0, 1, 99]]).round().tolist() == [893_828, 9_736_804, 1_793_188]
    assert np.ptp(sizes[1]) == pytest.approx(29.47 - 0.157, abs=0.01)


@pytest.mark.parametrize(("task", "method"), [("autoformer-c100_kd", "local_search"), ("pit-flower_base", "po_nas")])
def test_it_can_be_searched(task, method, tmp_path):
    result = search(benchmark=f"vit_bench/{task}", method=method, budget=12, out=tmp_path / "run")
    assert (result.evaluations, result.failed) == (12, 0)
    assert result.validation <= result.optimum_validation
