"""Comparisons with several objectives and with limits."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

import po_nas
from po_nas import benchmarks
from po_nas.compare.cell import objective_of, run_cell
from po_nas.compare.curves import plotted_measure
from po_nas.compare.design import ComparisonConfig
from po_nas.compare.figures import make_figures
from po_nas.compare.plan import optima
from po_nas.compare.results import Study
from po_nas.compare.run import run_comparison
from po_nas.compare.runs import read_runs
from po_nas.compare.significance import paired_tests, rank_methods
from po_nas.compare.store import COLUMNS
from po_nas.compare.tables import make_tables
from po_nas.errors import ConfigError
from po_nas.proxy_scores.goals import with_goals
from tests.compare.toy import NAN, toy_study
from tests.errors import raised

TASK = "nasbench201/cifar10"
GOALS = {"validation": "max", "params": "min"}


def told(study: Study, losses: list[list[float] | None], violation: list[float]) -> Study:
    """The same study with these losses and violations of all of its evaluations, in order."""
    table = study.table
    for name, column in (("violation", violation), ("losses", losses)):
        field = COLUMNS.field(name)
        table = table.set_column(COLUMNS.get_field_index(name), field, pa.array(column, field.type))
    return Study.of(table, study.record)


def counted(points: np.ndarray, reference: np.ndarray, cells: int = 400) -> float:
    """A hypervolume in two dimensions by counting the cells of a grid that a point dominates."""
    low = points.min(axis=0)
    axes = [low[k] + (np.arange(cells) + 0.5) / cells * (reference[k] - low[k]) for k in range(2)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    covered = np.zeros((cells, cells), dtype=bool)
    for point in points:
        covered |= (grid >= point).all(axis=-1)
    return float(covered.mean() * np.prod(reference - low))


def test_what_breaks_a_limit_is_never_the_incumbent(tmp_path):
    study = told(toy_study(tmp_path, {("t", "a", 0): [3.0, 9.0, NAN, 7.0]}), [None] * 4, [0.0, 0.5, 0.0, 0.0])
    np.testing.assert_array_equal(study.curves("validation", "t", "a"), [[3, 3, 3, 7]])
    np.testing.assert_array_equal(study.curves("best_test_queried", "t", "a"), [[1.5, 1.5, 1.5, 3.5]])
    assert (study.beyond_limits("t", "a"), study.failures("t", "a")) == (1, 1)
    assert (study.several, study.criterion) == (False, "validation")


def test_the_hypervolume_is_that_of_what_kept_the_limits(tmp_path):
    rng = np.random.default_rng(0)
    n = 12
    points = rng.random((2 * n, 2))
    points[:, 1] += 1 - points[:, 0]
    violation = np.where(rng.random(2 * n) < 0.3, 0.2, 0.0)
    failed = rng.random(2 * n) < 0.2
    values = np.where(failed, NAN, -points[:, 0])
    runs = {("t", "a", 0): values[:n].tolist(), ("t", "b", 0): values[n:].tolist()}
    losses = [None if bad else point.tolist() for point, bad in zip(points, failed, strict=True)]
    study = told(toy_study(tmp_path, runs), losses, violation.tolist())
    assert (study.several, study.criterion, plotted_measure(study, "t")) == (True, "hypervolume", "hypervolume")
    kept = points[(violation == 0) & ~failed]
    front = kept[[not ((kept <= p).all(axis=1) & (kept < p).any(axis=1)).any() for p in kept]]
    reference = front.max(axis=0) + 0.1 * (front.max(axis=0) - front.min(axis=0))
    whole = counted(front, reference)
    for label, rows in (("a", slice(n)), ("b", slice(n, None))):
        own, ok = points[rows], ((violation == 0) & ~failed)[rows]
        (found,) = study.curves("hypervolume", "t", label)
        for step in range(n):
            inside = own[: step + 1][ok[: step + 1]]
            inside = inside[(inside < reference).all(axis=1)]
            expected = counted(inside, reference) / whole if len(inside) else 0.0
            assert found[step] == pytest.approx(expected, abs=0.02)
        assert (np.diff(found) >= 0).all()
    sure = max(float(study.curves("hypervolume", "t", label)[0, -1]) for label in "ab")
    evaluations, seconds = study.to_target("t", "a", sure + 0.01)
    assert (evaluations.tolist(), seconds.tolist()) == ([math.inf], [math.inf])


def test_time_to_a_target(tmp_path):
    study = toy_study(tmp_path, {("t", "a", 0): [3.0, 9.5, 10.0], ("t", "a", 1): [1.0, 2.0, 3.0]}, targets=[0.5, 100])
    evaluations, seconds = study.to_target("t", "a", 0.5)
    assert (evaluations.tolist(), seconds.tolist()) == ([2, math.inf], [4, math.inf])
    (table,) = [table for table in make_tables(study) if table.name == "to_target"]
    assert [(row["target"], row["share"], row["median_evaluations"]) for row in table.data] == [
        (0.5, 0.5, math.inf),
        (100, 1.0, 1.0),
    ]


def config(**changes) -> ComparisonConfig:
    settings = {"benchmarks": TASK, "methods": ["random", "nsga2"], "seeds": 5, "budget": 12, "objectives": GOALS}
    return ComparisonConfig.model_validate(settings | changes)


def test_a_comparison_of_fronts_is_what_searches_find(tmp_path):
    path = run_comparison(config(at=[6, 12], targets=[0.5]), tmp_path / "study")
    study = Study.load(path)
    for method in ("random", "nsga2"):
        run = po_nas.search(
            benchmark=TASK, method=method, budget=12, seed=1, objectives=GOALS, out=tmp_path / f"{method}1"
        )
        share = run.hypervolume / run.hypervolume_true
        assert study.values("hypervolume", TASK, method, 12)[1] == pytest.approx(share)
        assert 0 < share < 1
        assert study.values("validation", TASK, method, 12)[1] == run.validation
    assert {test.rival for test in paired_tests(study, "hypervolume")} == {"nsga2"}
    names = {table.name for table in make_tables(study)}
    assert {"hypervolume", "to_target", "to_match", "tests_hypervolume"} <= names
    assert "tests_validation" not in names
    assert "anytime_evaluations" in make_figures(study)
    # Run directories say the same.
    runs = read_runs([tmp_path / "random1", tmp_path / "nsga21"])
    for method in ("random", "nsga2"):
        expected = study.values("hypervolume", TASK, method, 12)[1]
        assert runs.values("hypervolume", TASK, method, 12)[1] == pytest.approx(expected)


def test_methods_are_ranked_by_the_front(tmp_path):
    runs = {(task, method, seed): [1.0, 2.0, 3.0] for task in "tu" for method in "abc" for seed in range(5)}
    middle = {"a": -0.5, "b": -0.6, "c": -0.7}
    losses = [point for _, m, _ in runs for point in ([-1.0, 0.0], [0.0, -1.0], [middle[m], middle[m]])]
    ranking = rank_methods(told(toy_study(tmp_path, runs), losses, [0.0] * len(losses)), 3)
    assert ranking is not None
    assert (ranking.methods, ranking.ranks) == (("a", "b", "c"), (3.0, 2.0, 1.0))


def test_limits_change_regret_and_rank(tmp_path):
    limited = config(objectives={}, constraints={"params": "<= 0.3"}, methods=["random"], seeds=1)
    (cell,) = limited.cells([TASK])
    rows = run_cell(cell)
    table = benchmarks.get(TASK)
    params, validation = table.recorded.columns["params"], table.validation
    best = validation[params <= 0.3].max()
    assert objective_of(cell.search).optimum_validation[0] == best < validation.max()
    for row in rows:
        assert row["violation"] == 0.0
        assert row["rank"] == 1 + np.sum(validation[params <= 0.3] > row["validation"])
    # A limit that only evaluations tell is broken by some.
    (cell,) = config(objectives={}, constraints={"validation": ">= 88"}, methods=["random"], seeds=1).cells([TASK])
    rows = run_cell(cell)
    assert [row["violation"] > 0 for row in rows] == [row["validation"] < 88 for row in rows]
    assert len({row["violation"] > 0 for row in rows}) == 2


def test_searches_with_other_goals_are_other_searches():
    keys = {
        str(cell.key)
        for changes in (
            {"objectives": {}},
            {},
            {"constraints": {"params": "<= 0.3"}},
            {"constraints": {"params": "<= 1"}},
        )
        for cell in config(seeds=1, methods=["random"], **changes).cells([TASK])
    }
    assert len(keys) == 4


def test_older_results_are_read(tmp_path):
    study = toy_study(tmp_path, {("t", "a", 0): [3.0, NAN, 10.0]})
    old = Study.of(study.table.drop_columns(["violation", "losses"]), study.record)
    np.testing.assert_array_equal(old.curves("validation", "t", "a"), [[3, 3, 10]])
    assert not old.several


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"targets": [1.5]}, "targets"),
        ({"objectives": {}, "targets": [-1.0]}, "targets"),
        ({"objectives": {}, "targets": [math.inf]}, "targets"),
        ({"methods": ["pwlnas"]}, "objectives"),
        ({"objectives": {"params": "min"}}, "objectives"),
        ({"constraints": {"params": "<= 1, >= 2"}}, "constraints.params"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_run(tmp_path, changes, key):
    with raised(ConfigError, key=key):
        run_comparison(config(**changes), tmp_path / "study")


def test_tasks_that_differ_in_size_but_allow_the_same_are_twins(public_data):
    """Networks for 100 classes have a few parameters more; under a limit that keeps the same cells nothing differs."""
    public_data("nasbench201")
    found = {}
    for limit in ("<= 0.5", "<= 0.1"):
        for task in ("cifar10", "cifar100", "imagenet16-120"):
            table = benchmarks.get(f"nasbench201/{task}", "robot")
            found[limit, task] = optima(with_goals(table, {}, {"params": limit}))["signal"]
    assert len({found["<= 0.5", task] for task in ("cifar10", "cifar100", "imagenet16-120")}) == 1
    assert found["<= 0.5", "cifar10"] != found["<= 0.1", "cifar10"]
    fronts = {
        task: optima(with_goals(benchmarks.get(f"nasbench201/{task}", "robot"), GOALS, {}))["signal"]
        for task in ("cifar10", "cifar100")
    }
    assert fronts["cifar10"] != fronts["cifar100"], "as an objective the numbers themselves count"
