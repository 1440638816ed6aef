"""Tables of other tasks: which there are, and that none of them tells the labels of the task at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import po_nas
from po_nas import benchmarks, methods
from po_nas.benchmarks import other_tasks as module
from po_nas.benchmarks.base import Benchmark, Feedback
from po_nas.benchmarks.other_tasks import other_tasks
from po_nas.benchmarks.rows import EnumerationRows
from po_nas.core.objective import Metric
from po_nas.errors import ConfigError
from po_nas.runtime.config import SearchConfig
from po_nas.runtime.setup import make_searcher
from tests.errors import raised
from tests.methods.toy import ToyMetrics

SPACE = po_nas.spaces.get("transnas_micro")
NAMES = ("a", "b", "c")
VECTORS = SPACE.encode_vectors(list(SPACE.enumerate()))
COMMON = np.random.default_rng(7).normal(size=SPACE.vector_size)


def table(task: str, feedback: str = "full") -> Benchmark:
    """A task whose signal is a linear function that tasks have mostly in common; under ``same`` all of it."""
    own = np.random.default_rng(NAMES.index(task)).normal(size=SPACE.vector_size)
    signal = VECTORS @ (COMMON if feedback == "same" else COMMON + 0.4 * own)
    data = "a" if feedback == "same" else task
    return Benchmark(
        name=f"toy_transfer/{task}",
        space=SPACE,
        rows=EnumerationRows(SPACE),
        metric=Metric("accuracy", maximize=task != "b"),
        feedback=Feedback(feedback, data, "validation", "1", "1 run", "made up"),
        validation=signal if task != "b" else -signal,
        proxies=ToyMetrics(SPACE),
    )


@pytest.fixture(autouse=True)
def family() -> Iterator[None]:
    names = [f"toy_transfer/{task}" for task in NAMES]
    for name in names:
        spec = benchmarks.BenchmarkSpec("transnas_micro", ("full", "same"))
        benchmarks.register(name, summary="made up", spec=spec)(table)
    module._table.cache_clear()
    yield
    module._table.cache_clear()
    for name in names:
        benchmarks.registry.remove(name)


def search(objective, method="po_nas_transfer", seed=0):
    config = SearchConfig.model_validate(
        {
            "benchmark": objective.name,
            "method": {"name": method, "pool": 300},
            "budget": {"max_evaluations": 20},
            "seed": seed,
        }
    )
    return make_searcher(config, objective)


def test_they_are_the_other_tables_of_the_space_higher_is_better():
    found = other_tasks("toy_transfer/a", table("a").protocol())
    assert [told.task for told in found] == ["toy_transfer/b", "toy_transfer/c"]
    for told in found:
        assert told.table
        assert np.corrcoef(told.scores, VECTORS @ COMMON)[0, 1] > 0.8


def test_the_labels_of_the_task_at_hand_are_never_read(monkeypatch):
    """Other labels of its own change nothing of what is learned; those of another task do."""
    own = table("a")
    scrambled = replace(own, validation=np.random.default_rng(0).permutation(own.validation))

    def learned(objective):
        module._table.cache_clear()
        found = search(objective)
        weights = found._transferred.weights
        return weights, found._transferred.priors, [trial.architecture for trial in found.ask(4)]

    def same(first, second):
        return np.array_equal(first[0], second[0]) and first[1:] == second[1:]

    expected = learned(own)
    assert same(learned(scrambled), expected)
    load = benchmarks.get

    def leaking(name, feedback=None):
        """A loader that hands out the table at hand under the name of another task."""
        found = load(name, feedback)
        return replace(scrambled, name=name, feedback=found.feedback) if name[-1] == "b" else found

    monkeypatch.setattr(benchmarks, "get", leaking)
    assert not same(learned(own), expected)


def test_a_table_that_is_told_by_the_same_data_is_left_out():
    """Under a feedback that tells every task the same, another task is the task at hand."""
    assert other_tasks("toy_transfer/a", table("a", "same").protocol()) == ()
    with raised(ConfigError, "po_nas_transfer", "transnas_micro", "warm_start"):
        search(table("a", "same"))


@pytest.mark.parametrize("name", ["nasbench_graph/proteins", "train/darts/digits", "mine/function"])
def test_without_another_task_there_is_none(name):
    assert other_tasks(name, {"feedback_name": "full", "dataset": "x"}) == ()


def test_it_starts_where_the_other_tasks_are_good():
    objective = table("a")
    ranks = {}
    for method in ("po_nas", "po_nas_transfer"):
        places = []
        for seed in range(3):
            (trial,) = search(objective, method, seed).ask()
            places.append(int((objective.validation > objective.evaluate(trial.architecture).validation).sum()))
        ranks[method] = np.mean(places)
    assert ranks["po_nas_transfer"] < 60 < 120 < ranks["po_nas"]
    assert not methods.registry.get("po_nas").needs_other_tasks
