from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import po_nas
from po_nas.core.settings import validated
from po_nas.errors import ConfigError, MissingDataError, PoNasError, RunDirectoryError, StudyError
from po_nas.methods.candidates.proxy_features import TRUSTED
from po_nas.methods.po_nas import PONAS, PRIORS
from po_nas.methods.proxy_bo import GPProxies
from po_nas.research.fusion import other_spaces
from po_nas.research.fusion import run as fusion
from po_nas.research.fusion.design import MODELS, FusionStudyConfig, Task, load_fusion_study
from po_nas.research.fusion.models import searcher
from po_nas.research.fusion.other_spaces import prior_of_other_spaces
from po_nas.research.fusion.report import make_fusion_report, write_fusion_page
from po_nas.research.fusion.results import FusionResults
from po_nas.research.fusion.run import run_fusion_study
from po_nas.research.fusion.tables import fusion_tables
from po_nas.research.fusion.task_pool import TaskPool, tasks_of_runs
from tests.errors import raised

ROOT = Path(__file__).parents[3]
NAME = "nasbench_graph/proteins"
SMALL = {
    "tasks": [NAME, "nasbench201/cifar100"],
    "pool": 60,
    "seeds": 2,
    "labels": [4, 8],
    "models": ["gp_proxies", "po_nas", "any_function_believed"],
    "search_models": ["gp_proxies", "po_nas", "encodings_alone", "any_function", "any_function_first"],
    "at": [5, 6],
    "trees": 5,
}


@pytest.fixture(scope="module")
def small():
    return validated(FusionStudyConfig, SMALL)


@pytest.fixture(scope="module")
def done(small, tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    return directory, run_fusion_study(small, directory)


@pytest.fixture(scope="module")
def pool():
    return TaskPool.load(Task(NAME, None, 60, 0))


# -- design ------------------------------------------------------------------------------------------------------------


SIZES = {
    "fusion": (37, 20),
    "fusion_quick": (27, 3),
    "fusion_transfer": (33, 20),
    "fusion_predictor": (4, 10),
    "fusion_predictor_quick": (3, 2),
}
"""Tasks and seeds."""


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "studies").glob("fusion*.yaml")), ids=lambda p: p.stem)
def test_shipped_studies_are_valid(path):
    config = load_fusion_study(path)
    assert (len(config.benchmarks()), config.seeds) == SIZES[path.stem]


def test_more_seeds_use_the_parts_of_fewer(small):
    tasks = [Task(NAME, None, 60, 0)]
    more = validated(FusionStudyConfig, SMALL | {"seeds": 4})
    assert {str(part.key) for part in small.parts(tasks)} < {str(part.key) for part in more.parts(tasks)}


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("models=[gp_proxy]", ["gp_proxies"]),
        ("search_models=[po_nas]", ["search_models", "gp_proxies"]),
        ("tasks=[nasbench201/cifar]", ["nasbench201/cifar10"]),
        ("tasks=[]", ["tasks", "runs"]),
        ("labels=[8,4]", ["labels"]),
        ("labels=[1,4]", ["labels"]),
        ("at=[]", ["at"]),
        ("initial_by_proxy=5", ["initial_by_proxy", "initial=4"]),
        ("seed=3", ["seed=3", "'seeds'"]),
    ],
)
def test_mistakes_are_found_before_anything_is_computed(override, named):
    with raised(PoNasError, *named):
        load_fusion_study(None, (override,))


# -- candidates --------------------------------------------------------------------------------------------------------


def test_a_pool_is_a_part_of_the_table(pool):
    table = po_nas.benchmarks.get(NAME)
    assert len(pool) == len(set(pool.architectures)) == 60
    for architecture, value in zip(pool.architectures, pool.truth, strict=True):
        told = table.evaluate(architecture).validation
        assert value == (told if told is not None else pool.truth.min())
    assert (TaskPool.load(Task(NAME, None, 60, 0)).signal == pool.signal).all()
    assert set(TaskPool.load(Task(NAME, None, 60, 1)).architectures) != set(pool.architectures)


def test_labels_are_nested_and_half_are_picked_by_proxies(pool):
    few, many = pool.labels(6, 3), pool.labels(40, 3)
    assert many[:6].tolist() == few.tolist()
    assert len(set(many.tolist())) == 40
    top = set(np.argsort(-pool.features.fused)[:6].tolist())
    assert {int(place) for place in few[::2]} <= top
    assert pool.labels(6, 4).tolist() != few.tolist()
    assert sorted(pool.labels(99, 0).tolist()) == list(range(60))


def test_regret_by_hand(pool):
    made = replace(pool, signal=np.array([*np.linspace(0.0, 1.0, 59), np.nan]))
    low, high = np.percentile(made.truth, [25, 75])
    assert made.truth[-1] == 0.0
    assert made.regret(1.0) == 0.0
    assert made.regret(0.9) == pytest.approx(0.1 / (high - low))
    assert made.scaled_regret(0.9) == pytest.approx(0.1 / (1 - np.median(made.truth)))
    assert made.regret(-5.0) == 2.0
    assert [made.rank(1.0), made.rank(0.0)] == [1, 59]
    lower = replace(made, maximize=False)
    assert lower.regret(0.0) == 0
    assert lower.regret(-0.1) == pytest.approx(0.1 / np.subtract(*np.percentile(lower.truth, [75, 25])))
    assert not made.outcome(59).metrics


def test_figures_of_perfect_and_reversed_predictions(pool):
    best, worst = fusion.figures(pool, pool.truth), fusion.figures(pool, -pool.truth)
    assert (best["regret"], best["rank"]) == (0, 1)
    assert (best["spearman"], best["kendall"]) == pytest.approx((1, 1))
    assert (worst["spearman"], worst["kendall"]) == pytest.approx((-1, -1))
    assert worst["regret"] > 0


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("gp_proxies", GPProxies), ("po_nas", PONAS)])
def test_a_model_as_it_is_searches_as_the_method_does(pool, name, kind):
    def trials(search):
        found = []
        for _ in range(6):
            (trial,) = search.ask()
            search.tell(trial.number, pool.outcome(pool.architectures.index(trial.architecture)))
            found.append(trial.architecture)
        return found

    options = kind.Options(initial=4, initial_by_proxy=2)
    expected = trials(kind(pool.domain(), seed=5, options=options))
    assert trials(searcher(MODELS[name], pool.domain(), 5, (4, 2))) == expected


def test_an_oracle_with_the_order_of_the_proxies_is_the_plain_model(pool):
    found = []
    for name, order in (("gp_proxies", None), ("any_function", pool.features.fused.copy())):
        search = searcher(MODELS[name], pool.domain(), 0, (1, 0), order)
        for place in pool.labels(8, 0):
            search.tell_custom(pool.architectures[place], pool.outcome(int(place)))
        found.append(search.predict(search.features(), search.stream("model")).mean.numpy())
    assert found[0] == pytest.approx(found[1], abs=1e-9)


def test_searches_start_alike_and_only_first_picks_follow_the_oracle(pool):
    order = np.random.default_rng(0).normal(size=60)

    def start(name, seed):
        search = searcher(MODELS[name], pool.domain(), seed, (4, 2), order if MODELS[name].order else None)
        return [search.ask()[0].architecture for _ in range(4)]

    for seed in range(3):
        plain = start("gp_proxies", seed)
        for name in ("po_nas", "encodings_alone", "any_function", "any_function_believed"):
            assert start(name, seed) == plain
    best = {pool.architectures[place] for place in np.argsort(-order)[:5]}
    assert start("any_function_first", 0)[0] in best


def test_a_start_that_contrasts_the_proxies():
    pool = TaskPool.load(Task(NAME, None, 600, 0))

    def start(name):
        search, places = searcher(MODELS[name], pool.domain(), 3, (4, 2)), []
        for _ in range(4):
            (trial,) = search.ask()
            places.append(pool.features.candidates.position[pool.identity(trial.architecture)])
            search.tell(trial.number, pool.outcome(places[-1]))
        return places, [o.trial.origin for o in search.observations]

    (plain, origins), (contrasting, also) = start("po_nas"), start("po_nas_contrast")
    assert origins == also == ["proxies", "proxies", "random", "random"]
    assert set(plain[:2]).isdisjoint(contrasting[:2])
    features = pool.features
    assert np.all(features.fused[contrasting[:2]] >= np.median(features.fused))
    consensus = (features.fused - features.fused.mean()) / features.fused.std()
    z = features.z[:, features.prior > 0]
    rest = z - np.outer(consensus, consensus @ z / len(z))
    one, other = rest[contrasting[0]], rest[contrasting[1]]
    assert one @ other < 0, "the two are on opposite sides of what the proxies disagree on"
    upper = rest[features.fused >= np.median(features.fused)]
    assert np.linalg.norm(one - other) > np.quantile(np.linalg.norm(upper[:, None] - upper[None], axis=2), 0.9)


def test_other_spaces_teach_order_trust_and_priors():
    """Which tasks are learned from, and that with one space nothing says that weights should differ."""
    tasks = [
        Task(name, None, 80, 0) for name in ("nasbench_graph/proteins", "nasbench201/cifar10", "nasbench201/cifar100")
    ]
    prior = prior_of_other_spaces(tuple(tasks[1:]), PRIORS)
    assert set(prior.added) == set(TRUSTED)
    assert 0 < prior.nothing < 1
    assert prior.priors.mean_weights
    features = TaskPool.load(tasks[1]).features
    weights = prior.weights(features)
    assert np.all(weights[features.prior == 0] == 0)
    # With one space there is none to be left out, and no proof that weights should differ.
    assert not any(prior.added.values())
    assert np.corrcoef(weights, features.prior)[0, 1] == pytest.approx(1)

    parts = validated(FusionStudyConfig, SMALL | {"search_models": ["gp_proxies", "po_nas_other_spaces"]}).parts(tasks)
    taught = [part for part in parts if part.model == "po_nas_other_spaces"]
    assert {(part.task.group, *(o.group for o in part.others)) for part in taught} == {
        ("nasbench_graph", "nasbench201", "nasbench201"),
        ("nasbench201", "nasbench_graph"),
    }
    assert all(not part.others for part in parts if part.model == "gp_proxies")
    found = [fusion.run_part(part, TaskPool.load(part.task)) for part in taught[:1]]
    assert {row["at"] for row in found[0]} == {5, 6}
    with raised(ConfigError, key="models"):
        fusion.run_part(replace(taught[0], others=()), TaskPool.load(tasks[0]))


def test_the_trust_of_other_spaces_is_that_of_an_order_learned_elsewhere(pool):
    """An order that is right everywhere is trusted more than one that is noise."""
    rng, trust = np.random.default_rng(0), {}
    for name in ("right", "noise"):
        known = []
        for _ in range(4):
            z = np.repeat((pool.targets if name == "right" else rng.normal(size=len(pool)))[:, None], len(TRUSTED), 1)
            known.append(other_spaces._Known(pool, z, np.ones(len(TRUSTED)), pool.targets))
        fitted, nothing = other_spaces._trust(known, ["a", "b", "c", "d"], np.ones(4), 1.0, PRIORS)
        trust[name] = (1 - nothing) * fitted.mean_coefficient
    assert trust["right"] > 1.3 * trust["noise"]


def test_runs_teach_nothing_to_the_task_they_are_on():
    task, runs = Task("nasbench201/cifar10", None, 60, 0), Task("runs/nasbench201/cifar10", None, None, 0, ("a",), "0")
    assert task.group == runs.group == "nasbench201"
    parts = validated(FusionStudyConfig, SMALL | {"search_models": ["gp_proxies", "po_nas_other_spaces"]}).parts(
        [task, runs, Task(NAME, None, 60, 0)]
    )
    assert all(other.group == "nasbench_graph" for part in parts if part.task == task for other in part.others)


def test_the_weights_of_other_spaces_are_found():
    """Spaces in which one proxy alone tells the truth: it gets the weight."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, len(TRUSTED)))
    known = [
        other_spaces._Known(None, z, np.ones(len(TRUSTED)), (z[:, 2] + 0.1 * rng.normal(size=200)) / 1.01)
        for _ in range(3)
    ]
    penalty = other_spaces._penalty(known, ["a", "b", "c"], np.ones(3))
    assert penalty == min(other_spaces._PENALTIES)
    added = other_spaces._ridge(known, np.ones(3), penalty)
    assert int(np.argmax(added)) == 2
    assert added[2] > 0.8


def test_models_that_are_told_other_tasks_get_them_and_nothing_of_this_one(pool):
    task = Task("nasbench201/cifar10", None, 60, 0)
    part = fusion.Part("search", task, 5, "po_nas_told", 0, (5,), (4, 2))
    own = TaskPool.load(task)
    few = fusion._searcher(part, own, part.design, None).domain.source_tasks
    whole = fusion._searcher(replace(part, model="po_nas_transfer"), own, part.design, None).domain.source_tasks
    assert [t.task for t in few] == [t.task for t in whole] == ["nasbench201/cifar100", "nasbench201/imagenet16-120"]
    assert [len(t.architectures) for t in few] == [25, 25]
    for told, table in zip(few, whole, strict=True):
        known = dict(zip(table.architectures, table.scores, strict=True))
        assert [known[a] for a in told.architectures] == list(told.scores)
    assert fusion._searcher(replace(part, model="po_nas"), own, part.design, None).domain.source_tasks == ()
    with raised(ConfigError, "po_nas_told", NAME):
        fusion._searcher(part, pool, part.design, None)
    assert not {"told", "predictor"} & replace(part, model="po_nas").key["model"].keys()
    assert len({str(replace(part, model=name).key) for name in MODELS}) == len(MODELS)


def test_a_model_that_believes_the_truth_finds_the_best_at_once(pool):
    truth = (pool.targets - pool.targets.mean()) / pool.targets.std()
    part = fusion.Part("ranking", Task(NAME, None, 60, 0), 5, "any_function_believed", 0, (4,))
    rows = {row["measure"]: row["value"] for row in fusion.run_part(part, pool, truth)}
    assert rows["regret"] == 0
    assert rows["spearman"] > 0.95


# -- running -----------------------------------------------------------------------------------------------------------


def test_the_table_is_tidy_and_complete(small, done):
    directory, table = done
    rows = table.to_pylist()
    counted = {}
    for row in rows:
        counted.setdefault((row["kind"], row["task"], row["model"], row["seed"], row["at"]), set()).add(row["measure"])
    assert len(rows) == sum(map(len, counted.values()))
    assert all(np.isfinite(row["value"]) for row in rows)
    kinds = [key[0] for key in counted]
    assert kinds.count("ranking") == 2 * 3 * 2 * 2
    assert kinds.count("search") == 2 * 5 * 2 * 2
    assert {row["task"] for row in rows} == {NAME, "nasbench201/cifar100"}
    searches = {(r["task"], r["model"], r["seed"], r["at"]): r["value"] for r in rows
                if r["kind"] == "search" and r["measure"] == "regret"}  # fmt: skip
    assert all(searches[(*key[:3], 6)] <= value for key, value in searches.items() if key[3] == 5)
    assert not list(directory.glob("*.tmp"))


def test_a_finished_study_computes_nothing(small, done, monkeypatch):
    directory, table = done
    for name in ("run_part", "oracle_orders"):
        monkeypatch.setattr(fusion, name, lambda *given: pytest.fail("computed again"))
    assert run_fusion_study(small, directory).equals(table)


@pytest.mark.processes
def test_a_study_killed_between_parts_goes_on_and_gives_the_same(small, done, tmp_path):
    script = """
        import os, signal, sys
        from pathlib import Path
        from po_nas.core.settings import validated
        from po_nas.research.fusion.design import FusionStudyConfig
        from po_nas.research.fusion.run import run_fusion_study
        def tell(progress):
            if progress.done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        run_fusion_study(validated(FusionStudyConfig, eval(sys.argv[1])), Path(sys.argv[2]), 1, tell)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), repr(SMALL), str(tmp_path)]
    killed = subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    seen = []
    again = run_fusion_study(small, tmp_path, progress=lambda progress: seen.append(progress.done))
    assert seen[0] == 3
    assert again.equals(done[1])


@pytest.mark.slow
def test_processes_give_the_same(small, done, tmp_path):
    assert run_fusion_study(small, tmp_path, workers=2).equals(done[1])


def test_a_part_that_fails_stops_no_other(small, tmp_path, monkeypatch):
    def orders(*given):
        raise ValueError("no forest grows here")

    monkeypatch.setattr(fusion, "oracle_orders", orders)
    fusion._orders.cache_clear()
    config = small.model_copy(update={"tasks": (NAME,), "seeds": 1, "labels": (4,), "at": (5,)})
    with pytest.raises(StudyError) as caught:
        run_fusion_study(config, tmp_path)
    assert all("orders" in title or "any_function" in title for title in caught.value.failed)
    assert len([*(tmp_path / "parts").iterdir()]) == 2 + 3


def test_benchmarks_without_data_are_left_out_and_named(small, monkeypatch, tmp_path):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "empty"))
    fusion._pool.cache_clear()
    config = small.model_copy(update={"tasks": (NAME, "transnas_micro/jigsaw")})
    tasks, missing = fusion.present_tasks(config)
    assert [task.name for task in tasks] == [NAME]
    assert "po-nas data get transnasbench101" in missing[0]
    with pytest.raises(MissingDataError):
        fusion.present_tasks(small.model_copy(update={"tasks": ("transnas_micro/jigsaw",)}))


# -- finished runs -----------------------------------------------------------------------------------------------------


def test_finished_runs_are_a_task(tmp_path, small):
    for seed in range(3):
        po_nas.search(benchmark=NAME, method="random", budget=10, seed=seed, out=tmp_path / f"run{seed}")
    runs = tuple(str(tmp_path / f"run{seed}") for seed in range(3))
    (task,) = tasks_of_runs(runs)
    pool = TaskPool.load(task)
    table = po_nas.benchmarks.get(NAME)
    assert 20 <= len(pool) <= 30
    assert [table.evaluate(a).validation for a in pool.architectures] == pool.signal.tolist()
    # Where the runs lie is no part of what the results depend on; what they have told is.
    assert tasks_of_runs(tuple(reversed(runs)))[0].key == task.key
    assert tasks_of_runs(runs[:2])[0].key != task.key
    config = small.model_copy(update={"tasks": (), "runs": runs, "seeds": 1})
    rows = run_fusion_study(config, tmp_path / "study").to_pylist()
    assert {row["task"] for row in rows} == {f"runs/{NAME}"}
    assert {row["at"] for row in rows if row["kind"] == "search"} == {5, 6}
    with raised(RunDirectoryError, "run0", "20"):
        fusion.present_tasks(small.model_copy(update={"tasks": (NAME,), "runs": runs[:1]}))


def test_what_is_no_run_is_refused(tmp_path, small):
    with raised(RunDirectoryError, str(tmp_path)):
        fusion.present_tasks(small.model_copy(update={"tasks": (), "runs": (str(tmp_path),)}))


# -- report ------------------------------------------------------------------------------------------------------------


def test_differences_by_hand(small):
    import pyarrow as pa

    def rows(task, model, values):
        for seed, value in enumerate(values):
            yield {"kind": "ranking", "task": task, "group": "g", "model": model, "seed": seed, "at": 4,
                   "measure": "regret", "value": value}  # fmt: skip

    table = pa.Table.from_pylist(
        [
            *rows("g/a", "gp_proxies", [0.5, 0.7]),
            *rows("g/a", "po_nas", [0.4, 0.4]),
            *rows("g/b", "gp_proxies", [0.2, 0.2]),
            *rows("g/b", "po_nas", [0.3, 0.2]),
            *rows("g/a", "any_function_believed", [0.1, 0.3]),
        ]
    )
    results = FusionResults.of(table, small)
    found = results.difference("ranking", "po_nas", 4, "regret")
    assert found.mean == pytest.approx((-0.2 + 0.05) / 2)
    # Two tasks: Student's t with one degree of freedom.
    assert found.half == pytest.approx(12.706 * 0.125, rel=1e-3)
    assert found.p == pytest.approx(1.0)
    assert results.realised("ranking", "po_nas", "any_function_believed", 4, ["g/a"]) == pytest.approx(0.2 / 0.4)
    assert results.realised("ranking", "po_nas", "po_nas", 4, ["g/b"]) is None
    assert results.realised("ranking", "po_nas", "gp_proxies", 4, ["g/a"]) is None
    assert results.better_and_worse("ranking", "po_nas", 4) is None
    lines = [json.loads(line) for line in results.json_lines().splitlines()]
    assert {"kind": "ranking", "task": "g/a", "model": "po_nas", "measure": "regret", "seeds": 2,
            "mean": {"4": 0.4}} in lines  # fmt: skip


def test_report(small, done, tmp_path):
    page = tmp_path / "page.md"
    tables, lines, *figures = make_fusion_report(done[1], small, tmp_path)
    write_fusion_page(tmp_path, page, "po-nas study fusion a.yaml")
    text = page.read_text()
    assert tables.read_text().strip() in text
    assert "`po-nas study fusion a.yaml`" in text
    assert {path.name for path in (lines, *figures)} == {path.name for path in (tmp_path / "results/page").iterdir()}
    assert {path.stem for path in figures} == {"ranking", "search", "ceiling"}
    assert all(path.stat().st_size > 5000 for path in figures)
    # Regret of three and five models on two tasks; two figures of seven orders on each.
    assert len(lines.read_text().splitlines()) == 2 * (3 + 5) + 2 * 2 * 7
    for table in fusion_tables(FusionResults.of(done[1], small)):
        assert {len(row) for row in table.rows} == {len(table.header)}
    for words in ("any function of the proxies", "weights per architecture", "60 candidates", "seeds 0 to 1"):
        assert words in text
    assert "nan" not in text


def test_an_unknown_baseline_is_refused():
    with raised(ConfigError, "models", "po_nas"):
        validated(FusionStudyConfig, SMALL | {"baseline": "po_nas", "models": ["gp_proxies"]})
