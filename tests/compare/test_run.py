"""Running comparisons: checked first, every search kept, resumed after anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import po_nas
import proxies
from po_nas import benchmarks, methods
from po_nas.benchmarks import BenchmarkSpec
from po_nas.compare import fingerprint
from po_nas.compare import run as running
from po_nas.compare.cell import load_objective, run_cell
from po_nas.compare.design import ComparisonConfig, load_comparison
from po_nas.compare.results import Study
from po_nas.compare.run import run_comparison
from po_nas.compare.store import COLUMNS, read_table
from po_nas.errors import (
    BudgetError,
    ConfigError,
    MissingDataError,
    PluginError,
    RunDirectoryError,
    RunLockedError,
    StudyError,
    UnknownNameError,
)  # fmt: skip
from po_nas.runtime.journal import read_journal
from po_nas.runtime.run_directory import RunDirectory
from tests.errors import raised

TASK = "nasbench_graph/proteins"
EVOLUTION = {"name": "regularized_evolution", "population": 5, "sample": 2}
PLUGIN = """
from pathlib import Path
from po_nas import methods
from po_nas.methods.model_free import RandomSearch

@methods.register("comparison_breaks", summary="raises on seed 1")
class Breaks(RandomSearch):
    def propose(self, rng):
        if self.seed == 1 and self.asked == 3 and not Path("repaired").exists():
            raise RuntimeError("no memory\\nleft")
        return super().propose(rng)
"""


def config(**changes) -> ComparisonConfig:
    settings = {"benchmarks": TASK, "methods": {"random": None, "evolution": EVOLUTION}, "seeds": 2, "budget": 8}
    return ComparisonConfig.model_validate(settings | changes)


def table(directory: Path, *without: str):
    return read_table(directory / "results.parquet")[0].drop_columns(["overhead_s", *without])


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    path = tmp_path / "comparison_plugin.py"
    path.write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    yield path
    if "comparison_breaks" in methods.registry:
        methods.registry.remove("comparison_breaks")
    sys.modules.pop("comparison_plugin", None)


# -- the configuration -------------------------------------------------------------------------------------------------


def study_file(tmp_path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def test_a_study_is_read(tmp_path, plugin):
    (tmp_path / "published.yaml").write_text(
        f"- {{benchmark: {TASK}, method: X, value: 78.1, source: arXiv 0000.00000}}"
    )
    path = study_file(
        tmp_path,
        f"""
        benchmarks: ["nasbench201/*", {TASK}, nasbench201/cifar10]
        methods: {{random: , mine: comparison_breaks, small: {{name: regularized_evolution, population: 5, sample: 2}}}}
        seeds: 3
        budget: 20
        at: [20, 10]
        executor: simulated
        plugins: comparison_plugin.py
        published: published.yaml
        """,
    )
    found = load_comparison(path, ["batch=2", "reference=small"], trust=True)
    assert found.name == "study"
    assert found.names() == [*benchmarks.names("nasbench201/*"), TASK]
    assert (found.seeds, found.reported, found.baseline, found.batch) == ((0, 1, 2), (10, 20), "small", 2)
    assert found.published[0].measure == "test"
    cells = found.cells(found.names())
    assert len(cells) == 4 * 3 * 3
    assert [(c.label, c.search.seed) for c in cells[:4]] == [("random", 0), ("random", 1), ("random", 2), ("mine", 0)]
    assert cells[0].search.plugins == (str(plugin),)
    assert len({str(c.key) for c in cells}) == len(cells)


@pytest.mark.parametrize(
    ("setting", "error", "named", "data"),
    [
        ("seeds=[3,1,3]", ConfigError, [], {"key": "seeds", "value": [3, 1, 3]}),
        ("seeds=0", ConfigError, [], {"key": "seeds"}),
        ("at=9", ConfigError, ["8"], {"key": "at", "value": 9}),
        ("reference=x", ConfigError, ["random"], {"key": "reference", "value": "x"}),
        ("benchmarks=nothing/*", UnknownNameError, ["nasbench201/*"], {"name": "nothing/*"}),
        ("benchmarks=train/*", UnknownNameError, ["nasbench201/*"], {"name": "train/*"}),
        ("benchmarks=train/darts/digits", ConfigError, ["po-nas search"], {"value": "train/darts/digits"}),
        ("benchmarks=nasbench201/cifar11", UnknownNameError, [], {"suggestion": "nasbench201/cifar10"}),
        ("methods=randm", UnknownNameError, [], {"name": "randm", "suggestion": "random"}),
        ("methods=[random,random]", ConfigError, ["'random'"], {"key": "methods"}),
        ("methods={a: {name: local_search, initia: 2}}", ConfigError, ["'initial'"], {"key": "methods.a.initia"}),
        ("executor=inlin", UnknownNameError, [], {"name": "inlin", "suggestion": "inline"}),
        ("executor.timeout=3", ConfigError, ["'timeout_s'"], {"key": "executor.timeout", "value": 3}),
        ("executor=submitit", ConfigError, ["process", "ray"], {"key": "executor", "value": "submitit"}),
        ("proxies.objective=nwot", ConfigError, ["po-nas search"], {"value": "nwot"}),
        ("budgt=3", ConfigError, ["'budget'"], {"key": "budgt", "value": 3}),
        ("published=none.yaml", ConfigError, ["none.yaml"], {"key": "published"}),
        ("plugins=none.py", PluginError, ["none.py"], {}),
    ],
)
def test_everything_is_checked_first(tmp_path, setting, error, named, data):
    path = study_file(tmp_path, f"benchmarks: {TASK}\nmethods: random\nseeds: 2\nbudget: 8\n")
    with raised(error, *named, **data):
        load_comparison(path, [setting])


def test_a_proxy_of_ones_own_can_be_compared(tmp_path, monkeypatch):
    (tmp_path / "kernels.py").write_text(
        textwrap.dedent(
            """
            import proxies


            @proxies.proxy("comparison_kernels", needs=("params",), direction=+1)
            def comparison_kernels(scores):
                "As many as there are parameters."
                return scores["params"]
            """
        )
    )
    single = "{name: zero_cost, fusion: single, proxy: comparison_kernels, pool: 4}"
    path = study_file(
        tmp_path,
        f"""
        benchmarks: nasbench201/cifar10
        methods: {{mine: {single}, theirs: {single.replace("comparison_kernels", "params")}}}
        proxies: comparison_kernels
        plugins: kernels.py
        seeds: 2
        budget: 2
        """,
    )
    config = load_comparison(path, trust=True)
    try:
        run_comparison(config, tmp_path / "out")
        monkeypatch.setattr(
            running, "run_cell", lambda _: pytest.fail("run again")
        )  # all of it is there, and is not run again
        elsewhere = load_comparison(path, [f"proxies.cache={tmp_path / 'other.sqlite'}"])
        rows = pq.read_table(run_comparison(elsewhere, tmp_path / "out"))
        with raised(UnknownNameError, name="nwto", suggestion="nwot"):
            run_comparison(load_comparison(path, ["proxies=nwto"]), tmp_path / "misspelt")
    finally:
        proxies.registry.remove("comparison_kernels")
    found = rows.to_pandas().pivot(index=["seed", "evaluation"], columns="method", values="architecture")
    assert len(rows) == 2 * 2 * 2
    assert (found.mine == found.theirs).all()
    assert np.isfinite(rows.column("rank").to_numpy()).all()
    assert (tmp_path / "out" / "scores.sqlite").stat().st_size


def test_published_numbers_are_checked(tmp_path):
    (tmp_path / "list.yaml").write_text("- {benchmark: x, method: y, value: 1, source: z, measure: tset}")
    (tmp_path / "none.yaml").write_text("x: 1")
    path = study_file(tmp_path, f"benchmarks: {TASK}\nmethods: random\nseeds: 2\nbudget: 8\n")
    with raised(ConfigError, "measure", "tset"):
        load_comparison(path, ["published=list.yaml"])
    with raised(ConfigError, key="published", value=tmp_path / "none.yaml"):
        load_comparison(path, ["published=none.yaml"])


def test_a_budget_larger_than_the_table_is_refused(tmp_path):
    with raised(BudgetError, TASK, "2021", key="budget", value=2022):
        run_comparison(config(budget=2022), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- cells -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "executor"), [(1, "inline"), (3, "inline"), (3, "simulated")])
def test_a_cell_is_a_search(tmp_path, batch, executor):
    chosen = config(batch=batch, executor={"name": executor}, budget=14)
    cell = chosen.cells(["nasbench201/cifar10"])[-1]
    rows = run_cell(cell)
    result = po_nas.search(
        benchmark="nasbench201/cifar10", method=EVOLUTION, budget=14, seed=cell.search.seed, batch=batch,
        executor=executor, out=tmp_path / "run",
    )  # fmt: skip
    told = [e for e in read_journal(tmp_path / "run/journal.jsonl").events if e["event"] == "tell"]
    assert [row["architecture"] for row in rows] == [e["architecture"] for e in told]
    assert [row["clock_s"] for row in rows] == [e["clock_s"] for e in told]
    assert rows[-1]["clock_s"] == result.clock_s
    assert max(row["validation"] for row in rows) == result.validation
    assert [row["evaluation"] for row in rows] == list(range(1, 15))
    assert {*rows[0]} == {*COLUMNS.names}
    task = benchmarks.get("nasbench201/cifar10")
    assert rows[0]["rank"] == 1 + np.sum(task.validation > rows[0]["validation"])
    if task.test is None:
        assert np.isnan(rows[0]["test"])


def test_failed_evaluations_are_nan(monkeypatch):
    def load(task, feedback):
        from tests.runtime.helpers import Misbehaving

        return Misbehaving("raise")

    benchmarks.register("comparison_toy/failing", summary="fails", spec=BenchmarkSpec("transnas_micro"))(load)
    try:
        rows = run_cell(config(budget=30).cells(["comparison_toy/failing"])[0])
    finally:
        benchmarks.registry.remove("comparison_toy/failing")
    failed = [np.isnan(row["validation"]) for row in rows]
    assert 0 < sum(failed) < len(rows) == 30
    assert all(np.isnan(row["test"]) and np.isnan(row["rank"]) for row in rows)


# -- studies -----------------------------------------------------------------------------------------------------------


@pytest.mark.processes
def test_results_do_not_depend_on_how_it_was_run(tmp_path):
    """In one process or two, with other labels, and seeds added later."""
    path = run_comparison(config(), tmp_path / "one")
    run_comparison(config(), tmp_path / "two", workers=2)
    assert table(path.parent).equals(table(tmp_path / "two"))
    found = table(path.parent)
    assert found.num_rows == 2 * 2 * 8
    assert found["method"].to_pylist() == ["random"] * 16 + ["evolution"] * 16
    assert found["seed"].to_pylist() == ([0] * 8 + [1] * 8) * 2
    assert found["evaluation"].to_pylist() == list(range(1, 9)) * 4
    before = (tmp_path / "one/results.parquet").read_bytes()
    run_comparison(config(), tmp_path / "one")
    assert (tmp_path / "one/results.parquet").read_bytes() == before
    told = []
    renamed = config(methods={"chance": {"name": "random"}, "evolution": EVOLUTION}, seeds=3)
    run_comparison(renamed, tmp_path / "one", progress=told.append)
    assert (told[0].done, told[-1].done, told[-1].total) == (4, 6, 6)
    again = Study.load(tmp_path / "one")
    assert again.methods == ["chance", "evolution"]
    assert again.record["versions"]["po-nas"]
    assert again.record["benchmarks"][TASK]["direction"] == "maximize"


def test_a_method_that_raises_fails_its_cells_alone(tmp_path, plugin):
    broken = config(methods={"random": None, "mine": "comparison_breaks"}, seeds=3, plugins=(str(plugin),))
    po_nas.registry.load_plugin(str(plugin))
    told = []
    run_comparison(broken, tmp_path / "out", progress=told.append)
    study = Study.load(tmp_path / "out")
    assert study.seeds(TASK, "random") == [0, 1, 2]
    assert study.seeds(TASK, "mine") == [0, 2]
    (failure,) = study.record["failed"]
    error = "RuntimeError: no memory left"
    assert failure == {"benchmark": TASK, "method": "mine", "seed": 1, "error": error}
    (words,) = told[-1].failed
    assert words.startswith("mine ")
    assert words.endswith(f" {TASK}, seed 1: {error}")
    assert (told[-1].done, told[-1].total) == (6, 6)
    assert study.finished
    (tmp_path / "repaired").touch()
    run_comparison(broken, tmp_path / "out", progress=told.append)
    assert Study.load(tmp_path / "out").seeds(TASK, "mine") == [0, 1, 2]
    assert Study.load(tmp_path / "out").record["failed"] == []


@pytest.fixture
def keys(tmp_path):
    """The keys of a study by label, as a fresh process would find them."""
    loaded = {}

    def found(plugins, **labelled):
        fingerprint._hash.cache_clear()
        for plugin in plugins:
            module = po_nas.registry.load_plugin(plugin)
            loaded[module.__name__] = module
        study = config(methods={"random": None, **labelled}, plugins=plugins)
        return {cell.label: cell.key for cell in study.cells([TASK])}

    yield found
    fingerprint._hash.cache_clear()
    for name in loaded:
        sys.modules.pop(name)
    for name in methods.registry.names("comparison_*"):
        methods.registry.remove(name)


def test_an_edited_plugin_is_run_again_and_nothing_else(plugin, keys):
    before = keys((str(plugin),), mine="comparison_breaks")
    assert keys((str(plugin),), mine="comparison_breaks") == before
    assert "code" not in before["random"]
    plugin.write_text(PLUGIN + "# edited\n")
    after = keys((str(plugin),), mine="comparison_breaks")
    assert after["random"] == before["random"]
    assert after["mine"] != before["mine"]


def test_what_a_plugin_derives_from_counts_too(tmp_path, monkeypatch, keys):
    monkeypatch.syspath_prepend(str(tmp_path))
    parent, child = tmp_path / "comparison_parent.py", tmp_path / "comparison_child.py"
    parent.write_text(PLUGIN)
    child.write_text(
        "import comparison_parent\nfrom po_nas import methods\n\n"
        "@methods.register('comparison_child', summary='the same')\n"
        "class Child(comparison_parent.Breaks):\n    pass\n"
    )
    both = (str(parent), str(child))
    before = keys(both, mine="comparison_child")
    parent.write_text(PLUGIN + "# edited\n")
    assert keys(both, mine="comparison_child")["mine"] != before["mine"]


def test_all_files_of_a_package_count(tmp_path, monkeypatch, keys):
    package = tmp_path / "comparison_package"
    package.mkdir()
    (package / "__init__.py").write_text("from comparison_package import searchers\n")
    (package / "searchers.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        before = keys(("comparison_package",), mine="comparison_breaks")
        assert "code" in before["mine"]
        assert "code" not in before["random"]
        (package / "searchers.py").write_text(PLUGIN + "# edited\n")
        assert keys(("comparison_package",), mine="comparison_breaks")["mine"] != before["mine"]
    finally:
        sys.modules.pop("comparison_package.searchers", None)


def test_a_plugin_that_all_methods_may_use_is_part_of_every_search(tmp_path, keys):
    path = tmp_path / "comparison_metric.py"
    path.write_text("VALUE = 1\n")
    before = keys((str(path),))
    path.write_text("VALUE = 2\n")
    assert keys((str(path),))["random"] != before["random"]


def test_a_search_is_not_kept_under_the_hash_of_other_code(tmp_path, plugin, keys):
    """As in a worker that begins after the file was edited."""
    keys((str(plugin),), mine="comparison_breaks")
    (cell,) = config(methods={"mine": "comparison_breaks"}, plugins=(str(plugin),), seeds=(0,)).cells([TASK])
    assert running._attempt(cell, tmp_path / "out", False) is None
    (other,) = config(methods={"mine": "comparison_breaks"}, plugins=(str(plugin),), seeds=(2,)).cells([TASK])
    plugin.write_text(PLUGIN + "# edited\n")
    fingerprint._hash.cache_clear()
    assert running._attempt(other, tmp_path / "out", False), "it says why it is not kept"
    assert len([*(tmp_path / "out/parts").iterdir()]) == 1


def test_test_values_that_come_later_are_filled_in(tmp_path, monkeypatch):
    told = []
    hidden = benchmarks.get(TASK)
    with monkeypatch.context() as patch:
        patch.setattr(type(hidden), "optimum_test", None)
        patch.setattr(type(hidden), "report", lambda self, architecture: {"test": None})
        run_comparison(config(), tmp_path / "out", progress=told.append)
    assert told[0].remarks[0].startswith(f"{TASK} ")
    assert np.isnan(np.array(table(tmp_path / "out")["test"])).all()
    running._attempt.__globals__["run_cell"] = None
    try:
        run_comparison(config(), tmp_path / "out")
    finally:
        running._attempt.__globals__["run_cell"] = run_cell
    run_comparison(config(), tmp_path / "anew")
    assert table(tmp_path / "out").equals(table(tmp_path / "anew"))


def test_a_benchmark_without_its_data_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    load_objective.cache_clear()
    told = []
    absent = "transnas_micro/jigsaw"
    run_comparison(config(benchmarks=[absent, TASK]), tmp_path / "out", progress=told.append)
    assert "po-nas data get transnasbench101" in told[0].remarks[0]
    study = Study.load(tmp_path / "out")
    assert study.benchmarks == [TASK]
    assert list(study.record["missing"]) == [absent]
    with pytest.raises(MissingDataError):
        run_comparison(config(benchmarks=absent), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_method_that_refuses_every_benchmark_is_refused(tmp_path):
    class Choosy(methods.registry.get("random")):
        def __init__(self, domain, **settings):
            if domain.space.name != "nasbench201":
                raise ConfigError("method", "choosy", "is for NAS-Bench-201")
            super().__init__(domain, **settings)

    methods.register("comparison_choosy", summary="refuses most")(Choosy)
    try:
        with raised(ConfigError, key="method", value="choosy"):
            run_comparison(config(methods="comparison_choosy"), tmp_path / "out")
        assert not (tmp_path / "out").exists()
        some = config(methods="comparison_choosy", benchmarks=[TASK, "nasbench201/cifar10"])
        run_comparison(some, tmp_path / "out")
    finally:
        methods.registry.remove("comparison_choosy")
    study = Study.load(tmp_path / "out")
    assert study.benchmarks == ["nasbench201/cifar10"]
    assert [f["benchmark"] for f in study.record["failed"]] == [TASK, TASK]


def test_one_process_at_a_time(tmp_path):
    with RunDirectory(tmp_path / "out"), pytest.raises(RunLockedError):
        run_comparison(config(), tmp_path / "out")


def test_a_damaged_part_is_named(tmp_path):
    run_comparison(config(), tmp_path / "out")
    part = next((tmp_path / "out/parts").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(RunDirectoryError) as caught:
        run_comparison(config(), tmp_path / "out")
    assert caught.value.path == part
    part.unlink()
    run_comparison(config(), tmp_path / "out")


def test_partial_results_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "_EVERY_S", 0.0)
    seen = []

    def look(progress):
        if 0 < progress.done < progress.total:
            study = Study.load(tmp_path / "out")
            seen.append((study.record["finished"], study.finished, sum(map(len, study.searches.values()))))

    run_comparison(config(), tmp_path / "out", progress=look)
    # Seed by seed: after two searches both methods can be compared.
    assert seen == [(1, False, 8), (2, False, 16), (3, False, 24)]


_KILLED = """
import sys, time
from pathlib import Path
from po_nas.compare import run
from tests.compare.test_run import config

if __name__ == "__main__":
    run.run_comparison(config(seeds=20), Path(sys.argv[1]))
"""


@pytest.mark.processes
def test_a_killed_study_goes_on(tmp_path):
    script, out = tmp_path / "main.py", tmp_path / "out"
    script.write_text(_KILLED)
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, script, out], env=os.environ | {"PYTHONPATH": str(root)}, cwd=root)
    deadline = time.monotonic() + 60
    while len([*(out / "parts").glob("*.parquet")]) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert 3 <= len(kept) < 40
    assert not (out / "results.parquet").exists()
    torn = [out / "parts/torn.1.tmp", out / "results.parquet.1.tmp", out / "tables/regret.md.1.tmp"]
    (out / "tables").mkdir()
    for path in torn:
        path.write_bytes(b"half")
    run_comparison(config(seeds=20), out)
    assert {name: (out / "parts" / name).stat().st_mtime_ns for name in kept} == kept
    assert not [*out.rglob("*.tmp")]
    run_comparison(config(seeds=20), tmp_path / "whole")
    assert table(out).equals(table(tmp_path / "whole"))


@pytest.mark.slow
def test_a_search_of_which_its_process_dies_stops_no_other(tmp_path):
    plugin = tmp_path / "comparison_dies.py"
    plugin.write_text(PLUGIN.replace("comparison_breaks", "comparison_dies").replace(
        'raise RuntimeError("no memory\\nleft")', "import os; os._exit(9)"
    ).replace("self.seed == 1 ", "self.seed % 10 == 1 "))  # fmt: skip
    po_nas.registry.load_plugin(str(plugin))
    try:
        dying = config(methods={"mine": "comparison_dies", "random": None}, plugins=(str(plugin),), seeds=(0, 1))
        run_comparison(dying, tmp_path / "out", workers=2)
        study = Study.load(tmp_path / "out")
        hopeless = config(methods="comparison_dies", plugins=(str(plugin),), seeds=(1, 11, 21, 31, 41))
        with pytest.raises(StudyError) as caught:
            run_comparison(hopeless, tmp_path / "hopeless", workers=2)
    finally:
        methods.registry.remove("comparison_dies")
        sys.modules.pop("comparison_dies", None)
    assert study.seeds(TASK, "random") == [0, 1]
    assert study.seeds(TASK, "mine") == [0]
    (failure,) = study.record["failed"]
    assert (failure["seed"], "process" in failure["error"]) == (1, True)
    assert list(caught.value.failed) == [f"comparison_dies on {TASK}, seed {seed}" for seed in (1, 11, 21, 31)]
    assert (tmp_path / "hopeless/results.parquet").exists()


@pytest.mark.slow
def test_a_search_outlives_what_it_cannot_explain(tmp_path):
    plugin = tmp_path / "comparison_mute.py"
    plugin.write_text(
        "import os\nfrom po_nas import methods\nfrom po_nas.methods.model_free import RandomSearch\n\n"
        "@methods.register('comparison_mute', summary='dies when asked')\n"
        "class Mute(RandomSearch):\n    def explain(self):\n        os._exit(9)\n"
    )
    po_nas.registry.load_plugin(str(plugin))
    try:
        run_comparison(config(methods="comparison_mute", plugins=(str(plugin),)), tmp_path / "out", workers=2)
        study = Study.load(tmp_path / "out")
    finally:
        methods.registry.remove("comparison_mute")
        sys.modules.pop("comparison_mute", None)
    assert study.seeds(TASK, "comparison_mute") == [0, 1]
    assert (study.finished, study.record["failed"]) == (True, [])
