"""Curves of a study are those of `po_nas.search`."""

from __future__ import annotations

import numpy as np
import pytest

import po_nas
from po_nas import benchmarks
from po_nas.compare.anytime import run_curve
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.reports.run import load_run


@pytest.mark.parametrize(
    ("benchmark_name", "method", "budget"),
    [
        ("nasbench_graph/proteins", {"name": "regularized_evolution", "population": 5, "sample": 2}, 30),
        ("nasbench201/cifar10", {"name": "random"}, 15),
        ("nasbench_graph/proteins", {"name": "gp_bo", "initial": 4}, 8),
    ],
)
def test_a_curve_is_a_search(tmp_path, benchmark_name, method, budget):
    curve = run_curve(benchmark_name, method, budget, seed=3)
    result = po_nas.search(benchmark=benchmark_name, method=method, budget=budget, seed=3, out=tmp_path / "run")
    run = load_run(tmp_path / "run")
    np.testing.assert_allclose(curve.regret, [run.regret(value) for value in run.incumbents()], atol=1e-12)
    assert curve.regret[-1] == pytest.approx(result.regret_validation)
    assert curve.regret.shape == curve.test.shape == (budget,)
    assert (np.diff(curve.regret) <= 0).all()
    if result.test is None:
        assert np.isnan(curve.test).all()
    else:
        assert curve.test[-1] == pytest.approx(result.test)
        task = benchmarks.get(benchmark_name)
        best = task.space.from_string(run.told[0].architecture)
        assert curve.test[0] == task.report(best)["test"]
    assert (curve.benchmark, curve.method, curve.seed) == (benchmark_name, method["name"], 3)
    assert curve.overhead_s > 0


def test_seeds_and_labels():
    settings = {"benchmark": "nasbench_graph/proteins", "method": {"name": "random"}, "budget": 10}
    first, again, other = (run_curve(**settings, seed=s, label="mine") for s in (1, 1, 2))
    np.testing.assert_array_equal(first.regret, again.regret)
    assert not np.array_equal(first.regret, other.regret)
    assert first.method == "mine"


def test_settings_are_checked():
    with pytest.raises(UnknownNameError, match="did you mean 'random'"):
        run_curve("nasbench_graph/proteins", {"name": "randm"}, 3, 0)
    with pytest.raises(ConfigError, match=r"method\.x"):
        run_curve("nasbench_graph/proteins", {"name": "random", "x": 1}, 3, 0)
