"""Published proxy scores: aligned with the rows of their benchmark."""

from __future__ import annotations

import numpy as np
import pytest

from po_nas import benchmarks
from po_nas.benchmarks.base import spearman
from po_nas.errors import MissingDataError, UnknownNameError
from tests.errors import raised

RHO = {
    "nasbench201/cifar10": {
        "nwot": 0.810,
        "jacov": 0.798,
        "synflow": 0.775,
        "epe_nas": 0.771,
        "l2_norm": 0.744,
        "snip": 0.602,
        "grad_norm": 0.599,
        "fisher": 0.551,
        "grasp": 0.537,
        "plain": -0.350,
        "params": 0.751,
        "flops": 0.731,
        "zen": 0.344,
    },
    "nasbench201/imagenet16-120": {
        "nwot": 0.797,
        "jacov": 0.784,
        "l2_norm": 0.739,
        "synflow": 0.727,
        "grad_norm": 0.543,
        "snip": 0.542,
        "grasp": 0.523,
        "fisher": 0.486,
        "epe_nas": 0.320,
        "plain": -0.341,
    },
    "nasbench101/cifar10": {"zen": 0.643, "params": 0.448},
}


def need(name, public_data):
    public_data(benchmarks.registry.entry(name).spec.dataset or "nasbench201")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n.startswith("nasbench101") else []) for n in RHO]
)
def test_rank_correlations_are_the_published_ones(name, public_data):
    need(name, public_data)
    table, benchmark = benchmarks.score_table(name, "published"), benchmarks.get(name)
    accuracy = benchmark.validation if benchmark.test is None else benchmark.test
    for score, rho in RHO[name].items():
        assert spearman(table.column(score), accuracy) == pytest.approx(rho, abs=6e-4), score


@pytest.mark.parametrize("name", benchmarks.scored("published"))
def test_scores_are_aligned_with_their_benchmark(name, public_data):
    need(name, public_data)
    table, benchmark = benchmarks.score_table(name, "published"), benchmarks.get(name)
    assert table.values.shape == table.seconds.shape == (benchmark.distinct, len(table.names))
    assert not np.isinf(table.values).any()
    assert all(0 < share <= 1 for share in table.coverage.values())
    assert any("NaN" in note for note in table.notes)
    # The benchmark lists parameters too: equal in nearly every row only if both have the same order of rows. (The
    # wheel behind nasbench201 has other counts for 204 cells.)
    if name == "nasbench_bert/glue":
        return  # what is listed there is of other networks: see its own tests
    same = np.isclose(table.column("params"), benchmark.extras["params"], atol=5e-6, equal_nan=True)
    assert (~same).sum() <= 204 * name.startswith("nasbench201")


def test_coverage(public_data):
    public_data("nasbench201", "suite_zero", "transnasbench101")
    cifar10 = benchmarks.score_table("nasbench201/cifar10", "published")
    assert cifar10.coverage["synflow"] * 15_625 == 9_445
    assert cifar10.coverage["zen"] * 15_625 == 15_284
    assert benchmarks.score_table("nasbench201/cifar100", "published").names == ("zen", "params", "flops")
    small = benchmarks.score_table("suite_zero/nasbench301-svhn", "published")
    assert len(small.names) == 13
    assert set(small.coverage.values()) == {1.0}
    assert np.isfinite(small.seconds).all()
    macro = benchmarks.score_table("transnas_macro/class_scene", "published")
    assert "nwot" not in macro.names
    micro = benchmarks.score_table("transnas_micro/class_scene", "published")
    assert micro.coverage["nwot"] * 4_096 == 2_128


def test_names_that_have_no_scores():
    with raised(UnknownNameError, name="nasbench201/cifar1", suggestion="nasbench201/cifar10"):
        benchmarks.score_table("nasbench201/cifar1", "published")
    with raised(UnknownNameError, name="nasbench_graph/cora"):
        benchmarks.score_table("nasbench_graph/cora", "published")
    with pytest.raises(UnknownNameError):
        benchmarks.get("nasbench_graph/cora").score_table("published")


@pytest.mark.parametrize("name", sorted({*benchmarks.scored("own"), *benchmarks.scored("published")}))
def test_what_is_declared_is_what_is_loaded(name, public_data):
    spec = benchmarks.registry.entry(name).spec
    if spec.dataset:
        public_data(spec.dataset)
    assert tuple(benchmarks.get(name).scores) == spec.scores


def test_scores_of_our_own_need_no_download():
    assert "nasbench_graph/proteins" in benchmarks.scored("own")
    table = benchmarks.score_table("nasbench_graph/arxiv", "own")
    assert table.coverage["synflow"] == 1
    assert table.coverage["params"] == 1
    assert table.signs[table.names.index("params")] == 1
    assert any("NaN" in note for note in table.notes)
    with raised(UnknownNameError, name="nasbench101/cifar10"):
        benchmarks.score_table("nasbench101/cifar10", "own")


def test_an_unknown_score_is_named(public_data):
    public_data("nasbench201")
    with raised(UnknownNameError, name="sinflow", suggestion="synflow"):
        benchmarks.score_table("nasbench201/cifar10", "published").column("sinflow")


def test_absent_scores_name_the_command():
    with raised(MissingDataError, "nasbench201/cifar10", dataset="nasbench201", command="po-nas data get nasbench201"):
        benchmarks.score_table("nasbench201/cifar10", "published")
