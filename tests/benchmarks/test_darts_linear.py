"""All of DARTS, predicted by a linear model, against the sample it was fitted to and against networks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from po_nas import benchmarks, networks, resume, search
from po_nas.benchmarks import darts_linear
from po_nas.errors import InvalidArchitectureError, NotATableError, UnknownNameError
from po_nas.spaces.base import Architecture
from po_nas.spaces.ngrams import operation_ngrams
from proxies.counting import count_parameters
from tests.errors import raised

NAME = "darts_linear/cifar10"


@pytest.fixture(autouse=True)
def _data(public_data):
    public_data("nasbench301_sample")


@pytest.fixture
def sample():
    table = benchmarks.get("nasbench301/cifar10")
    return table, [table.rows.architecture(row) for row in range(len(table.validation))]


def random_ones(n, seed=0):
    space, rng = benchmarks.looked_up(NAME).space, np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


def test_sizes_are_those_of_the_sample(sample):
    table, architectures = sample
    found = benchmarks.looked_up(NAME).known(architectures, ["params", "flops"])
    for name, values in table.known(architectures, ["params", "flops"]).items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-6)


def test_parameters_follow_those_of_networks_of_eight_cells():
    benchmark = benchmarks.looked_up(NAME)
    for one in random_ones(5):
        built = count_parameters(networks.build(one, device="meta", channels=32, cells=8))
        assert benchmark.report(one)["params"] == pytest.approx(built / 1e6, rel=0.02)


def test_the_fit_is_ridge_regression():
    rng = np.random.default_rng(0)
    features, targets = rng.poisson(2.0, (40, 6)).astype(float), rng.normal(93, 1, 40)
    features[:, 3] = 1.0  # of no use: all have it
    intercept, weights = darts_linear._ridge(features, targets)
    # The penalty as further rows of least squares.
    z = (features - features.mean(axis=0)) / np.where(features.std(axis=0) > 0, features.std(axis=0), 1)
    rows = np.vstack([z, np.sqrt(darts_linear._PENALTY) * np.eye(6)])
    slow = np.linalg.lstsq(rows, np.concatenate([targets - targets.mean(), np.zeros(6)]), rcond=None)[0]
    np.testing.assert_allclose(intercept + features @ weights, targets.mean() + z @ slow, atol=1e-9)


def test_cells_that_are_left_out_are_ordered_as_the_notes_say(sample):
    table, architectures = sample
    benchmark = benchmarks.looked_up(NAME)
    counted = [operation_ngrams(benchmark.space.sequence_graph(one), 2) for one in architectures]
    columns = sorted({gram for counts in counted for gram in counts})
    counts = np.array([[found[gram] for gram in columns] for found in counted], dtype=float)
    predicted, order = np.empty(len(counts)), np.random.default_rng(0).permutation(len(counts))
    for left_out in np.array_split(order, 10):
        known = np.setdiff1d(order, left_out)
        used = (counts[known] > 0).sum(axis=0) >= 5
        intercept, weights = darts_linear._ridge(counts[known][:, used], table.validation[known])
        predicted[left_out] = intercept + counts[left_out][:, used] @ weights
    assert spearmanr(predicted, table.validation).statistic == pytest.approx(0.94, abs=0.01)
    assert 1 - np.mean((predicted - table.validation) ** 2) / table.validation.var() == pytest.approx(0.88, abs=0.01)
    assert spearmanr(benchmark.signal(architectures), table.validation).statistic > 0.94


def test_cells_of_one_canonical_form_have_one_value():
    benchmark = benchmarks.looked_up(NAME)
    for one in random_ones(20):
        swapped = Architecture(one.space, tuple(tuple(node[::-1] for node in cell) for cell in one.code))
        assert benchmark.identity(swapped) == benchmark.identity(one)
        assert benchmark.signal([swapped]) == benchmark.signal([one])
        np.testing.assert_array_equal(benchmark.size("params", [swapped]), benchmark.size("params", [one]))


def test_values_do_not_depend_on_what_else_is_asked():
    benchmark, some = benchmarks.looked_up(NAME), random_ones(30)
    np.testing.assert_array_equal(benchmark.signal(some), [benchmark.evaluate(one).validation for one in some])


def test_there_is_no_table():
    with raised(NotATableError, benchmark=NAME):
        benchmarks.get(NAME)
    benchmark = benchmarks.looked_up(NAME)
    assert benchmark.describe().optimum_validation is None
    assert (benchmark.describe().architectures, benchmark.distinct) == (benchmark.space.size,) * 2
    assert benchmark.proxies.names == ("params", "flops")
    with raised(UnknownNameError, name="latency"):
        benchmark.known(random_ones(1), ["latency"])
    with raised(InvalidArchitectureError, space="darts"):
        benchmark.evaluate(Architecture("nasbench201", (0,) * 6))


@pytest.mark.parametrize("method", ["po_nas", "regularized_evolution"])
def test_it_can_be_searched(method, tmp_path):
    result = search(benchmark=NAME, method=method, budget=10, constraints={"params": "<= 0.9"}, out=tmp_path / "run")
    assert (result.evaluations, result.failed) == (10, 0)
    assert 90 < result.validation < 96.2
    benchmark = benchmarks.looked_up(NAME)
    assert benchmark.report(benchmark.space.from_string(result.incumbent))["params"] <= 0.9
    assert resume(tmp_path / "run").evaluations == 10
