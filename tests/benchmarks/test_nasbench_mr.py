"""NAS-Bench-MR against facts that were established independently of this code."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from po_nas import benchmarks, search
from po_nas.benchmarks.base import spearman
from po_nas.benchmarks.data.nasbench_mr import TASKS
from po_nas.spaces.nasbench_mr import flops, parameters

# task: lowest, mean, standard deviation, best, rows of the best, correlation with flops and params
FACTS = {
    "cls-50-1000": (46.08, 82.20, 2.75, 86.16, 521, 0.54, 0.55),
    "cls-50-100": (31.08, 48.58, 3.63, 57.24, 17, -0.30, -0.30),
    "cls-10-1000": (74.40, 85.71, 1.52, 90.40, 1635, -0.13, -0.15),
    "cls-10c": (35.28, 57.08, 4.53, 67.96, 17, -0.06, -0.02),
    "seg": (32.91, 72.59, 5.33, 79.10, 2506, 0.51, 0.60),
    "seg-4x": (33.03, 62.21, 3.44, 68.74, 2506, 0.45, 0.37),
    "video": (8.63, 19.55, 3.70, 28.29, 2128, -0.31, -0.33),
    "video-p": (10.77, 30.75, 4.66, 40.39, 36, -0.31, -0.33),
}
BETWEEN = {
    ("cls-50-1000", "seg"): 0.72,
    ("cls-50-100", "cls-10c"): 0.81,
    ("seg", "video"): -0.02,
    ("video", "video-p"): 0.75,
    ("cls-50-1000", "video"): 0.17,
}
FIRST = "128_128-2_1_4_128-2_2_4_4_128_128-2_3_4_4_4_128_128_128-2_4_4_4_4_4_128_128_128_128-128"
TOP5 = {"cls-50-1000": (1207, 96.32), "cls-50-100": (1505, 82.0), "cls-10c": (17, 89.28), "video": (1510, 62.633)}


@pytest.fixture(autouse=True)
def _data(public_data):
    public_data("nasbench_mr")


@pytest.mark.parametrize("task", FACTS)
def test_columns_are_the_published_ones(task):
    low, mean, deviation, best, row, with_flops, with_params = FACTS[task]
    benchmark = benchmarks.get(f"nasbench_mr/{task}")
    values = benchmark.validation
    assert len(values) == benchmark.space.size == 2_507
    assert values.min() == pytest.approx(low, abs=0.006)
    assert values.mean() == pytest.approx(mean, abs=0.006)
    assert values.std(ddof=1) == pytest.approx(deviation, abs=0.006)
    value, architecture = benchmark.optimum_validation
    assert value == pytest.approx(best, abs=0.006)
    assert benchmark.row(architecture) == row
    assert spearman(values, benchmark.extras["flops"]) == pytest.approx(with_flops, abs=0.006)
    assert spearman(values, benchmark.extras["params"]) == pytest.approx(with_params, abs=0.006)
    assert benchmark.test is None
    assert benchmark.report(architecture)["test"] is None


def test_the_tasks_are_those_of_the_registry():
    assert sorted(TASKS) == [name.partition("/")[2] for name in benchmarks.names("nasbench_mr/*")]


@pytest.mark.parametrize(("first", "second"), BETWEEN)
def test_tasks_agree_as_published(first, second):
    columns = [benchmarks.get(f"nasbench_mr/{task}").validation for task in (first, second)]
    assert spearman(*columns) == pytest.approx(BETWEEN[first, second], abs=0.006)


@pytest.mark.parametrize("task", TOP5)
def test_the_other_metrics(task):
    row, best = TOP5[task]
    column = benchmarks.get(f"nasbench_mr/{task}").measured["top5"]
    assert int(column.argmax()) == row
    assert column[row] == pytest.approx(best, abs=0.006)


def test_a_network_by_its_string():
    benchmark = benchmarks.get("nasbench_mr/cls-50-1000")
    architecture = benchmark.space.from_string(FIRST)
    assert benchmark.row(architecture) == 0
    assert benchmark.evaluate(architecture).validation == 84.12
    assert benchmark.report(architecture)["params"] == pytest.approx(28.290994, abs=1e-9)


def test_the_sizes_of_every_network_follow_from_its_code():
    benchmark = benchmarks.get("nasbench_mr/seg")
    for size, count in (("params", parameters), ("flops", flops)):
        counted = [count(architecture.code) for architecture in benchmark.space.enumerate()]
        np.testing.assert_array_equal(np.rint(1e6 * benchmark.extras[size]).astype(int), counted)


def test_networks_are_far_apart_and_still_have_neighbours():
    """No mutation of a record is a record, so that a search moves by the distance of encodings."""
    space = benchmarks.get("nasbench_mr/seg").space
    members = list(itertools.islice(space.enumerate(), 0, None, 250))
    assert all(space.edit_distance(a, b) > 1 for a, b in itertools.combinations(members, 2))
    assert np.mean([len(space.neighbours(member)) >= 4 for member in members]) >= 0.7


@pytest.mark.parametrize("method", ["po_nas", "local_search"])
def test_it_can_be_searched(method, tmp_path):
    result = search(benchmark="nasbench_mr/video", method=method, budget=12, out=tmp_path / "run")
    assert result.evaluations == 12
    assert result.failed == 0
    benchmark = benchmarks.get("nasbench_mr/video")
    assert benchmark.evaluate(benchmark.space.from_string(result.incumbent)).validation == result.validation
