"""Numbers of comparisons, by hand."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import wilcoxon

import po_nas
from po_nas import benchmarks
from po_nas.compare.captions import headline
from po_nas.compare.curves import timed
from po_nas.compare.figures import make_figures
from po_nas.compare.protocol import protocol_line
from po_nas.compare.results import Study
from po_nas.compare.runs import read_runs
from po_nas.compare.significance import (
    FEWEST,
    half_tests,
    least_p,
    paired_tests,
    rank_methods,
    to_match,
    too_few,
    twins,
    wins,
)
from po_nas.errors import RunDirectoryError
from tests.compare.toy import NAN, toy_study
from tests.errors import raised

TWO = {("t", "a", 0): [3.0, NAN, 10.0, 7.0], ("t", "b", 0): [NAN, 5.0, 5.0, 8.0]}


def test_incumbents_and_measures(tmp_path):
    study = toy_study(tmp_path, TWO)
    np.testing.assert_array_equal(study.curves("validation", "t", "a"), [[3, 3, 10, 10]])
    np.testing.assert_array_equal(study.curves("regret", "t", "a"), [[7, 7, 0, 0]])
    np.testing.assert_array_equal(study.curves("test", "t", "b"), [[NAN, 2.5, 2.5, 4]])
    np.testing.assert_array_equal(study.curves("rank", "t", "b"), [[NAN, 6, 6, 3]])
    np.testing.assert_array_equal(study.searches["t", "b", 0].incumbent, [-1, 1, 1, 3])
    assert study.values("regret", "t", "b", 1) == {}
    assert study.values("regret", "t", "b", 4) == {0: 2.0}
    assert study.to_optimum("t", "a").tolist() == [3]
    assert study.to_optimum("t", "b").tolist() == [math.inf]
    assert study.overhead_s("t", "a").tolist() == [0.5]
    assert (study.failures("t", "a"), study.failures("t", "b")) == (1, 1)
    assert study.found("t", "a") == [(0, "a10", 10.0)]


def test_the_best_test_queried_is_not_the_incumbents(tmp_path):
    folder = tmp_path / "x"
    study = toy_study(folder, {("t", "a", 0): [3.0, 4.0, 2.0]})
    table = study.table.set_column(6, "test", pa.array([9.0, 1.0, 5.0]))
    found = Study.of(table, study.record)
    assert found.values("test", "t", "a", 3) == {0: 1.0}
    assert found.values("best_test_queried", "t", "a", 3) == {0: 9.0}


def test_lower_may_be_better(tmp_path):
    study = toy_study(tmp_path, TWO, direction="minimize", optimum=3.0)
    np.testing.assert_array_equal(study.curves("validation", "t", "b"), [[NAN, 5, 5, 5]])
    np.testing.assert_array_equal(study.curves("regret", "t", "b"), [[NAN, 2, 2, 2]])
    assert study.values("best_test_queried", "t", "a", 4) == {0: 1.5}
    assert study.sign("t", "test") == study.sign("t", "regret") == -1
    counts, blocks = wins(study, 4)
    assert (counts.tolist(), blocks) == ([[0, 1], [0, 0]], 1)


def test_an_unknown_optimum_has_no_regret(tmp_path):
    study = toy_study(tmp_path, TWO, optimum=None)
    assert study.values("regret", "t", "a", 4) == {}
    assert np.isinf(study.to_optimum("t", "a")).all()


def test_a_search_that_ended_early_keeps_its_incumbent(tmp_path):
    study = toy_study(tmp_path, {("t", "a", 0): [3.0], ("t", "b", 0): [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(study.curves("validation", "t", "a"), [[3, 3, 3]])


def test_curves_by_seconds(tmp_path):
    study = toy_study(tmp_path, TWO)
    seconds = np.array([0.0, 1.9, 2.0, 5.0, 6.0, 99.0])
    np.testing.assert_array_equal(study.curves_by_seconds("validation", "t", "a", seconds), [[NAN, NAN, 3, 3, 10, 10]])
    assert study.duration_s("t", "a") == 8.0


def many(gains: dict[str, float], seeds: int = 8, tasks: int = 1) -> dict:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(tasks, seeds))
    return {
        (f"t{task}", method, seed): [1.0, 5.0 + gain + noise[task, seed]]
        for task in range(tasks)
        for method, gain in gains.items()
        for seed in range(seeds)
    }


def test_paired_tests_are_scipys_with_holms_adjustment(tmp_path):
    runs = many({"a": 1.0, "b": 0.0, "c": 0.9})
    rng = np.random.default_rng(1)
    for key in runs:
        runs[key][1] += 0.05 * rng.normal()
    study = toy_study(tmp_path, runs)
    first, second = paired_tests(study, "validation")
    ours, theirs = (np.array([runs["t0", m, s][1] for s in range(8)]) for m in "ab")
    assert first.p == pytest.approx(wilcoxon(ours, theirs, method="exact").pvalue)
    assert first.gain == pytest.approx(np.mean(ours - theirs))
    assert (first.rival, first.n, first.verdict) == ("b", 8, "better")
    assert first.adjusted == pytest.approx(min(1.0, 2 * first.p))
    assert second.adjusted >= second.p
    assert least_p([first, second]) == pytest.approx(2 * 2 / 2**8)
    other = toy_study(tmp_path / "other", runs, reference="b")
    assert [t.verdict for t in paired_tests(other, "validation")] == ["worse", "worse"]


def test_the_verdict_is_that_of_the_test(tmp_path):
    """One pair that differs by far turns the mean, and not the ranks."""
    runs = {("t", "a", seed): [10.0] for seed in range(20)} | {("t", "b", s): [10.1 + s / 100] for s in range(19)}
    test = paired_tests(toy_study(tmp_path, runs | {("t", "b", 19): [0.0]}, optimum=20.0), "validation")[0]
    assert test.gain > 0
    assert (test.verdict, test.adjusted < 0.001) == ("worse", True)


def test_half_of_the_evaluations_may_be_enough(tmp_path):
    runs = {("t", "a", seed): [1.0, 2.0, 3.0, 4.0 + seed / 10] for seed in range(6)}
    runs |= {("t", "b", seed): [1.0, 5.0 + seed, 9.0, 10.0] for seed in range(6)}
    runs |= {("t", "c", seed): [0.0, 0.0, 1.0, 2.0] for seed in range(6)}
    study = toy_study(tmp_path, runs)
    assert (to_match(study, "t", "a"), to_match(study, "t", "b"), to_match(study, "t", "c")) == (4, 2, math.inf)
    fast, slow = half_tests(study)
    assert (fast.rival, fast.at, fast.verdict, fast.gain) == ("b", 2, "", pytest.approx(4.25 - 7.5))
    assert fast.p == pytest.approx(2 / 2**6)
    assert (slow.rival, slow.gain) == ("c", 4.25)


def test_what_feeds_back_the_same_counts_once(tmp_path):
    study = toy_study(tmp_path, many({"a": 2.0, "b": 0.0, "c": 1.0}, tasks=3))
    signals = {"t0": "x", "t1": "y", "t2": "x"}
    protocols = {name: {**study.record["benchmarks"][name], "signal": signals[name]} for name in signals}
    study = Study.of(study.table, {**study.record, "benchmarks": protocols})
    assert twins(study) == {"t2": "t0"}
    ranking = rank_methods(study, 2)
    assert (ranking.blocks, list(ranking.left_out)) == (16, ["t2"])
    assert "t0" in ranking.left_out["t2"]
    assert wins(study, 2)[1] == 16
    # The searches on t2 are others, so they are tested; the same ones would not be.
    assert len(paired_tests(study, "validation")) == 6
    column = study.table["validation"].to_numpy().copy()
    first, last = (np.array(study.table["benchmark"].to_pylist()) == name for name in ("t0", "t2"))
    column[last] = column[first]
    same = Study.of(study.table.set_column(5, "validation", pa.array(column)), study.record)
    assert [t.benchmark for t in paired_tests(same, "validation")] == ["t0", "t0", "t1", "t1"]


def test_benchmarks_with_too_few_common_seeds_are_not_ranked(tmp_path):
    runs = many({"a": 2.0, "b": 0.0, "c": 1.0}, tasks=3)
    for seed in range(1, 8):
        del runs["t1", "c", seed]
    ranking = rank_methods(toy_study(tmp_path, runs), 2)
    assert (ranking.blocks, list(ranking.left_out)) == (16, ["t1"])
    assert str(FEWEST) in ranking.left_out["t1"]
    one = {key: run for key, run in runs.items() if key[0] == "t1"}
    assert rank_methods(toy_study(tmp_path / "one", one), 2) is None


def test_ties_everywhere_are_no_difference(tmp_path):
    study = toy_study(tmp_path, {("t", m, s): [10.0] for m in "abc" for s in range(6)})
    assert {(t.p, t.verdict) for t in paired_tests(study, "validation")} == {(1.0, "")}
    ranking = rank_methods(study, 1)
    assert ranking.ranks == (2, 2, 2)
    assert ranking.friedman_p == 1
    counts, blocks = wins(study, 1)
    assert (counts.sum(), blocks) == (0, 6)


def test_no_statistics_from_too_few_runs(tmp_path):
    study = toy_study(tmp_path, many({"a": 2.0, "b": 0.0, "c": 1.0}, seeds=4))
    assert too_few(study)
    assert paired_tests(study, "validation") == []
    assert rank_methods(study, 2) is None
    assert not too_few(toy_study(tmp_path / "more", many({"a": 2.0, "b": 0.0}, seeds=5)))


@pytest.mark.parametrize(("tasks", "blocks", "per_task"), [(1, 8, False), (4, 32, False), (5, 5, True)])
def test_ranks(tmp_path, tasks, blocks, per_task):
    study = toy_study(tmp_path, many({"a": 2.0, "b": 0.0, "c": 1.0}, tasks=tasks))
    ranking = rank_methods(study, 2)
    assert ranking.ranks == (1, 3, 2)
    assert (ranking.blocks, ranking.per_task) == (blocks, per_task)
    # Demšar 2006, Table 5: q = 2.343 for three methods.
    assert ranking.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * blocks)), rel=1e-3)
    assert ranking.friedman_p < 0.05
    expected = {8: [(0, 1), (1, 2)], 5: [(0, 1), (1, 2)], 32: []}[blocks]
    assert ranking.alike() == expected
    assert rank_methods(toy_study(tmp_path / "two", many({"a": 1.0, "b": 0.0})), 2) is None


def test_wins_are_counted_over_common_seeds(tmp_path):
    runs = many({"a": 2.0, "b": 0.0}, seeds=3)
    del runs["t0", "b", 1]
    counts, blocks = wins(toy_study(tmp_path, runs), 2)
    assert (counts.tolist(), blocks) == ([[0, 2], [0, 0]], 2)


def test_run_directories_can_be_compared(tmp_path):
    task = "nasbench_graph/proteins"
    small = {"name": "regularized_evolution", "population": 5, "sample": 2}
    runs = [
        po_nas.search(benchmark=task, method=method, budget=8, seed=seed, out=tmp_path / f"{label}{seed}")
        for label, method in (("r", "random"), ("e", small))
        for seed in (0, 1)
    ]
    study = read_runs([tmp_path / name for name in ("r0", "r1", "e0", "e1")])
    assert study.methods == ["random", "regularized_evolution (population=5, sample=2)"]
    assert (study.budget, study.benchmarks, study.finished) == (8, [task], True)
    for run, (method, seed) in zip(runs, [(m, s) for m in study.methods for s in (0, 1)], strict=True):
        assert study.values("validation", task, method, 8)[seed] == run.validation
        assert study.values("regret", task, method, 8)[seed] == pytest.approx(run.regret_validation)
        assert study.values("test", task, method, 8)[seed] == pytest.approx(run.test)
        rank = study.values("rank", task, method, 8)[seed]
        assert rank == 1 + np.sum(benchmarks.get(task).validation > run.validation)
    with raised(RunDirectoryError, "random", task, tmp_path / "r0"):
        read_runs([tmp_path / "r0", tmp_path / "r0"])
    with raised(RunDirectoryError, "po-nas search", path=tmp_path):
        read_runs([tmp_path])


def test_runs_that_are_not_alike_are_told_apart(tmp_path):
    task = "nasbench_graph/proteins"
    for name, settings in {
        "short": {"budget": 4, "seed": 0},
        "long": {"budget": 12, "seed": 1},
        "warm": {"budget": 12, "seed": 1, "warm_start": (str(tmp_path / "short"),)},
        "wide": {"budget": 12, "seed": 2, "batch": 4, "executor": "simulated"},
    }.items():
        po_nas.search(benchmark=task, method="random", out=tmp_path / name, **settings)
    journal = tmp_path / "wide/journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:13]))
    study = read_runs([tmp_path / name for name in ("short", "long", "warm", "wide")])
    assert study.methods == [
        "random (batch=1, executor=inline)",
        "random (batch=1, executor=inline, warm start)",
        "random (batch=4, executor=simulated)",
    ]
    assert (study.budget, study.finished) == (4, False)
    assert {len(search) for search in study.searches.values()} == {4}
    assert "4 to 12" in study.config["notes"]
    assert "(4, 12)" in study.config["notes"]
    line = protocol_line(study)
    assert not re.search(r"\d trial", line), "how many at a time, the methods' names say"
    assert "3 of 4" in line
    assert "anytime_seconds" not in make_figures(study)
    assert not timed(study)
    assert study.record["benchmarks"][task]["test_of_optimum_validation"] is not None


def test_runs_towards_a_metric_have_no_regret(tmp_path):
    for seed in (0, 1):
        settings = {"benchmark": "nasbench_graph/proteins", "method": "random", "proxies": {"objective": "params"}}
        po_nas.search(**settings, budget=4, seed=seed, out=tmp_path / f"{seed}")
    study = read_runs([tmp_path / "0", tmp_path / "1"])
    task = study.benchmarks[0]
    for measure in ("regret", "rank"):
        assert study.values(measure, task, "random", 4) == {}
    assert len(study.values("test", task, "random", 4)) == 2


def test_what_is_no_comparison_is_said_so(tmp_path):
    with raised(RunDirectoryError, "po-nas compare", path=tmp_path):
        Study.load(tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "results.parquet")
    with raised(RunDirectoryError, path=tmp_path / "results.parquet") as caught:
        Study.load(tmp_path)
    assert caught.value.__cause__ is None
    (tmp_path / "results.parquet").write_bytes(b"nothing")
    with raised(RunDirectoryError, path=tmp_path / "results.parquet") as caught:
        Study.load(tmp_path)
    assert isinstance(caught.value.__cause__, pa.ArrowInvalid)


def test_methods_that_only_drew_at_random_are_named(tmp_path):
    study = toy_study(tmp_path, {("t", m, s): [1.0, 2.0, 3.0] for m in ("a", "b") for s in range(2)}, at=[2, 3])
    options = {"a": {"initial": 2}, "b": {"initial": 1}}
    said = headline(dataclasses.replace(study, record={**study.record, "options": options}))
    (one,) = (sentence for sentence in said if "initial design" in sentence)
    assert one.startswith("After 2 evaluations a (2) is ")
    assert not any("initial design" in sentence for sentence in headline(study))
