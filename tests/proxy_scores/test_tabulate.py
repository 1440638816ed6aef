"""From a recipe to a table: computed, interrupted, resumed, collected, written and read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import proxies
from po_nas import benchmarks, networks, spaces
from po_nas.commands.app import app
from po_nas.errors import ConfigError, DataError, UnknownNameError
from po_nas.networks.nasbench201 import NASBench201Network
from po_nas.proxy_scores import tabulate as score_table
from po_nas.proxy_scores.packaged import OwnScores
from po_nas.proxy_scores.table import ScoreTable
from po_nas.research.proxy_correlation import score_agreement
from po_nas.spaces.cell import NASBench201Space
from tests.errors import raised

RECIPE = """
space: toy_cells
tasks:
  small: {num_classes: 3, size: 8, samples: 6}
  other: {num_classes: 2, size: 8, samples: 6}
parts:
  - [synflow, snip]
  - [jacov]
per_architecture: [l2_norm]
"""


class ToyCells(NASBench201Space):
    """Twenty cells; in some of the first ten nothing reaches the output, and these are one class."""

    name = "toy_cells"

    def enumerate(self):
        cells = list(super().enumerate())
        return iter([*cells[:20:2], *cells[1_399::1_503]])


def network(architecture, *, num_classes=10):
    return NASBench201Network(architecture, num_classes=num_classes, channels=4, cells=1)


@pytest.fixture(autouse=True, scope="module")
def _space():
    spaces.register("toy_cells", summary="some cells")(ToyCells)
    networks.register("toy_cells", summary="tiny")(network)
    yield
    spaces.registry.remove("toy_cells")
    networks.registry.remove("toy_cells")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_interrupted_resumed_collected_and_read(recipe, tmp_path):
    plan = score_table.load_recipe(recipe)
    space = spaces.get("toy_cells")
    firsts, belongs = score_table.classes_of(space)
    assert 1 < len(firsts) < len(belongs) == 20
    calls = []

    def stop(part, done):
        calls.append((part.task, part.names, done))
        if len(calls) == len(firsts) + 3:
            raise KeyboardInterrupt

    with proxies.ScoreCache(tmp_path / "cache.sqlite") as cache:
        with pytest.raises(KeyboardInterrupt):
            score_table.compute(plan, cache, progress=stop)
        # The second task is next, not the second part.
        assert calls[-1] == ("other", ("synflow", "snip"), 3)

        partial = score_table.collect(plan, cache, computing=False)
        assert set(partial.tasks["small"]) == {"synflow", "snip"}
        # Three of its architectures say nothing about the others.
        assert partial.tasks["other"] == {}
        assert set(partial.made_by["proxies"]) == {"synflow", "snip"}

        score_table.compute(plan, cache)
        full = score_table.collect(plan, cache)
        assert [score_table.collect(plan, cache, computing=False).origin, len(cache)] == [full.origin, len(cache)]
    assert set(full.tasks["other"]) == {"synflow", "snip", "jacov", "l2_norm"}
    np.testing.assert_array_equal(
        full.tasks["small"]["snip"][: len(partial.tasks["small"]["snip"])], partial.tasks["small"]["snip"]
    )

    # Against the engine, one architecture at a time.
    for row in (0, 7, 19):
        architecture = firsts[belongs[row]]
        alone = proxies.score(
            networks.build(architecture, num_classes=3),
            plan.tasks["small"].batch(0),
            ["snip", "synflow"],
            on_error="nan",
        )
        for name, value in alone.items():
            np.testing.assert_allclose(full.column("small", name)[row], value, rtol=2e-5)
    own = proxies.score(
        networks.build(list(space.enumerate())[3], num_classes=3), plan.tasks["small"].batch(0), "l2_norm"
    )
    np.testing.assert_allclose(full.column("small", "l2_norm")[3], own["l2_norm"], rtol=2e-5)

    for name in ("a.npz", "b.npz"):
        full.write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = OwnScores.read(tmp_path / "a.npz", "toy_cells")
    assert again.made_by["recipe"]["space"] == "toy_cells"
    assert again.made_by["directions"]["snip"] == 1
    for task, columns in full.tasks.items():
        for name, column in columns.items():
            np.testing.assert_array_equal(again.tasks[task][name], column)
    np.testing.assert_array_equal(again.classes, belongs)


def test_tabulate(recipe, tmp_path):
    def run(*more):
        arguments = ["proxies", "tabulate", recipe, "--cache", tmp_path / "c.sqlite", "--out", tmp_path / "t.npz"]
        return CliRunner().invoke(app, [str(a) for a in (*arguments, *more)])

    assert run("--no-compute").exit_code == 0
    assert OwnScores.read(tmp_path / "t.npz", "toy_cells").tasks == {}
    result = run("--parts", "1")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == str(tmp_path / "t.npz")
    table = OwnScores.read(tmp_path / "t.npz", "toy_cells")
    assert set(table.tasks["small"]) == {"synflow", "snip", "l2_norm"}
    assert np.isfinite(table.column("other", "synflow")).mean() > 0.5


def test_scores_that_a_table_has_are_taken_over(recipe, tmp_path):
    """The same recipe's, and of these only what it would compute in the same way."""
    plan = score_table.load_recipe(recipe)
    with proxies.ScoreCache(tmp_path / "first.sqlite") as cache:
        score_table.compute(plan, cache, parts=1)
        table = score_table.collect(plan, cache, parts=1)
        computed = len(cache)
    with proxies.ScoreCache(tmp_path / "second.sqlite") as cache:
        assert score_table.take_over(plan, table, cache) == len(cache) == computed
        again = score_table.collect(plan, cache, parts=1, computing=False)
        done = []
        score_table.compute(plan, cache, progress=lambda part, count: done.append(part.names))
        whole = score_table.collect(plan, cache, computing=False)
    for task, columns in table.tasks.items():
        for name, column in columns.items():
            if name in again.tasks[task]:
                np.testing.assert_array_equal(again.tasks[task][name], column)
    assert "jacov" in whole.tasks["other"]
    others = [
        plan.model_copy(update={"seed": 1}),
        plan.model_copy(update={"init_seed": 1}),
        plan.model_copy(update={"tasks": {"small": plan.tasks["other"], "other": plan.tasks["small"]}}),
    ]
    for number, other in enumerate(others):
        with proxies.ScoreCache(tmp_path / f"{number}.sqlite") as cache:
            assert score_table.take_over(other, table, cache) == len(cache) == 0


def test_scores_of_another_version_of_a_proxy_are_computed_again(recipe, tmp_path):
    plan = score_table.load_recipe(recipe)
    with proxies.ScoreCache(tmp_path / "c.sqlite") as cache:
        score_table.compute(plan, cache, parts=1)
        table = score_table.collect(plan, cache, parts=1)
    made = table.made_by
    made["proxies"]["snip"] += 1
    with proxies.ScoreCache(tmp_path / "d.sqlite") as cache:
        score_table.take_over(plan, replace(table, origin=json.dumps(made)), cache)
        assert {key.proxy for key, _ in cache.items()} == {"synflow", "l2_norm"}


def test_a_score_that_no_architecture_has_is_left_out(recipe, tmp_path):
    # Three images of three classes: there are no two of one, between which epe_nas could see a correlation.
    changed = RECIPE.replace("[jacov]", "[epe_nas]").replace("3, size: 8, samples: 6", "3, size: 8, samples: 3")
    recipe.write_text(changed)
    with proxies.ScoreCache(tmp_path / "cache.sqlite") as cache:
        found = score_table.collect(score_table.load_recipe(recipe), cache)
    assert set(found.tasks["small"]) == {"synflow", "snip", "l2_norm"}
    assert set(found.tasks["other"]) == {"synflow", "snip", "l2_norm", "epe_nas"}


def test_sixteen_bits():
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-25, 25).repeat(10)
    kept = score_table.rounded(values)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, values, rtol=2**-16)
    assert not (kept.view(np.uint32) & 0xFF).any()
    special = score_table.rounded(np.array([0.0, np.nan, 1.0, -2.5]))
    np.testing.assert_array_equal(special, [0, np.nan, 1, -2.5])
    for factor in (1e30, 1e-30):
        np.testing.assert_allclose(score_table.rounded(values * factor), values * factor, rtol=2**-16)


def test_a_proxy_that_nobody_has(recipe):
    recipe.write_text(RECIPE.replace("jacov", "jacv"))
    with raised(UnknownNameError, name="jacv", suggestion="jacov"):
        score_table.load_recipe(recipe)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[jacov]", "[snip]"), "snip"),
        (("samples: 6", "sample: 6"), ".sample=6"),
        (("{num_classes: 3, size: 8, samples: 6}", "{nodes: 8, num_classes: 3}"), "tasks.small"),
    ],
)
def test_a_wrong_recipe_is_refused(recipe, change, named):
    recipe.write_text(RECIPE.replace(*change, 1))
    with raised(ConfigError, named):
        score_table.load_recipe(recipe)


def test_a_file_that_is_no_table(tmp_path):
    (tmp_path / "t.npz").write_bytes(b"PK nothing")
    with raised(DataError, tmp_path / "t.npz"):
        OwnScores.read(tmp_path / "t.npz", "toy_cells")


def test_conditions_change_one_thing_each(recipe):
    plan = score_table.load_recipe(recipe)
    firsts, _ = score_table.classes_of(spaces.get("toy_cells"))
    given = plan.tasks["small"].batch(9)
    ways = score_agreement.conditions(plan, "small", given)
    assert [len(way.batch) for way in ways] == [6, 6, 64, 64, 6, 6]
    found = score_agreement.score_conditions(plan, "small", firsts[-4:], ("snip", "l2_norm"), ways)
    base = score_table.score_sample(plan, "small", ("snip",), firsts[-4:])
    # In another order sums differ in the last digits.
    assert found["recipe"]["snip"] == pytest.approx([result.values["snip"] for result in base], rel=1e-6)
    for name in ("other seeds", "64 images", "Kaiming weights", "6 given images"):
        assert not np.isclose(found[name]["snip"], found["recipe"]["snip"]).any()
    same = found["64 images"]["l2_norm"] == found["recipe"]["l2_norm"]
    assert same.all()
    assert (found["Kaiming weights"]["l2_norm"] > found["recipe"]["l2_norm"]).all()


def test_agreement_with_published_scores(monkeypatch, tmp_path):
    benchmark = benchmarks.get("nasbench201/cifar10")
    n, rng = len(benchmark.rows), np.random.default_rng(0)
    params = np.asarray(benchmark.extras["params"])
    noise = rng.normal(size=n)

    def table(ours):
        snip = np.where(np.arange(n) < 9_000, params * (1 + 0.1 * ours) + 0.3 * (rng.normal(size=n) + noise), np.nan)
        values = np.stack([params, snip, noise], axis=1)
        return ScoreTable(benchmark.name, ("params", "snip", "zen"), values, np.full_like(values, np.nan), "", ())

    told = replace(benchmark, scores={"own": lambda: table(True), "published": lambda: table(False)})
    monkeypatch.setattr(benchmarks, "get", lambda name: told)
    found = {match.score: match for match in score_agreement.matches(benchmark.name)}
    assert list(found)[-1] == "snip"  # the worst
    assert (found["params"].rows, found["snip"].rows) == (n, 9_000)
    assert [found[name].spearman for name in ("params", "zen")] == pytest.approx([1, 1])
    assert found["snip"].spearman < 0.9
    # Isomorphic cells have about the same size; noise has nothing in common with itself.
    assert 500 < found["snip"].pairs < found["params"].pairs < 4_930
    assert found["params"].repeat > 0.8
    assert abs(found["zen"].repeat) < 0.1
    result = CliRunner().invoke(app, ["proxies", "agree", "--out", str(tmp_path / "agreement.md")])
    assert result.exit_code == 0, result.output
    assert "params\t15,625\t1.000" in result.output
    assert "| params | 15,625 | 1.000 |" in (tmp_path / "agreement.md").read_text()


@pytest.mark.slow
def test_what_makes_scores_differ(monkeypatch, tmp_path):
    benchmark = benchmarks.get("nasbench201/cifar10")
    values = np.stack([benchmark.extras["params"], np.where(np.arange(15_625) > 15_604, 1.0, np.nan)], axis=1)
    table = ScoreTable(benchmark.name, ("l2_norm", "snip"), values, np.full_like(values, np.nan), "made up", ())
    told = replace(benchmark, scores={"published": lambda: table})
    monkeypatch.setattr(benchmarks, "get", lambda name: told)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "space: nasbench201\ntasks: {cifar10: {num_classes: 10, size: 4, samples: 2}}\nparts: [[l2_norm]]\n"
    )
    arguments = ["proxies", "agree", "--recipe", recipe, "-p", "l2_norm", "--cells", "20"]
    result = CliRunner().invoke(app, [str(a) for a in (*arguments, "--cache", tmp_path / "c.sqlite")])
    assert result.exit_code == 0, result.output
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in result.output.splitlines()}
    assert set(rows) >= {"recipe", "other seeds", "64 images", "Kaiming weights"}
    assert float(rows["recipe"][1]) > 0
    assert rows["recipe"][2] == rows["64 images"][2] == "1.000"
