from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from losses import LossInputError
from po_nas import benchmarks
from po_nas.core.settings import validated
from po_nas.errors import ConfigError, DataError, PoNasError, StudyError
from po_nas.research.loss_study import run as loss_study
from po_nas.research.loss_study.design import LossStudyConfig, load_loss_study
from po_nas.research.loss_study.predictor_pools import Pool
from po_nas.research.loss_study.report import make_loss_report, write_loss_page
from po_nas.research.loss_study.results import LossResults
from po_nas.research.loss_study.run import CEILING, run_loss_study
from po_nas.research.loss_study.tables import loss_tables
from tests.errors import raised

ROOT = Path(__file__).parents[3]
TASK = {"benchmark": "nasbench201/cifar10", "train": 12}
SMALL = {
    "runs": 2,
    "steps": 4,
    "tasks": [TASK],
    "losses": ["mse", {"name": "hr", "margin": 0.2}, {"name": "warp", "weight": "gt", "label": "top"}],
    "sweep": [TASK, TASK | {"train": 6}],
    "weighting_tasks": [],
    "predictor_tasks": [],
}


@pytest.fixture(scope="module")
def small():
    return validated(LossStudyConfig, SMALL)


@pytest.fixture(scope="module")
def done(small, tmp_path_factory):
    directory = tmp_path_factory.mktemp("study")
    return directory, run_loss_study(small, directory)


@pytest.fixture(scope="module")
def cifar10():
    return Pool.load("nasbench201/cifar10")


# -- design ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "studies").glob("losses_*.yaml")), ids=lambda p: p.stem)
def test_shipped_studies_are_valid(path):
    assert load_loss_study(path).preset == path.stem.partition("_")[2]


def test_the_paper_s_design():
    full = load_loss_study(None, ("preset=full",))
    assert full.runs == 30
    assert [(t.benchmark.partition("/")[0], t.train) for t in full.tasks] == [
        ("nasbench101", 424),
        *[("nasbench201", 156)] * 3,
        *[("transnas_micro", 12)] * 4,
        *[("transnas_macro", 10)] * 4,
        ("nasbench_graph", 786),
    ]
    assert [loss.name for loss in full.losses][:8] == ["mse", "hr", "lr", "mse_sr", "listmle", "ew", "mape", "warp"]


def test_a_longer_study_uses_the_runs_of_a_shorter_one():
    medium, full = (load_loss_study(None, (f"preset={name}",)) for name in ("medium", "full"))
    assert {str(case.key) for case in medium.cases()} < {str(case.key) for case in full.cases()}


def test_a_label_changes_no_key_and_a_hyperparameter_does():
    def keys(loss):
        config = validated(LossStudyConfig, SMALL | {"losses": [loss], "sweep": []})
        return [str(case.key) for case in config.cases()]

    assert keys("hr") == keys({"name": "hr", "label": "hinge"}) != keys({"name": "hr", "margin": 0.5})


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("losses=[hinge]", ["hr"]),
        ("losses=[{name: hr, margn: 1}]", ["'margin'"]),
        ("losses=[{name: hr, margin: -1}]", ["margin", "-1"]),
        ("predictor=gnn", ["gcn"]),
        ("tasks=[{benchmark: nasbench201/cifar, train: 9}]", ["nasbench201/cifar10"]),
        ("tasks=[{benchmark: nasbench201/cifar10, train: 1}]", ["tasks.0.train=1", "2"]),
        ("run=3", ["run=3", "'runs'"]),
        ("preset=large", ["preset"]),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(override, named):
    with raised(PoNasError, *named):
        load_loss_study(None, (override,))


# -- pools -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"losses": ["hr", {"name": "piecewise", "by": "budget"}]}, LossInputError),
        ({"losses": ["hr", {"name": "mape", "lower_bound": 0.3}]}, LossInputError),
        ({"sweep": [TASK | {"train": 20_000}]}, DataError),
    ],
    ids=str,
)
def test_what_can_never_be_trained_is_found_before_anything_is(change, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(loss_study, "run_case", None)
    with raised(kind):
        run_loss_study(validated(LossStudyConfig, SMALL | change), tmp_path)


def test_labels_are_fractions_and_draws_are_nested(cifar10):
    assert np.nanmax(cifar10.labels) < 1
    small, large = (cifar10.draw(n, np.random.default_rng(4)) for n in (8, 30))
    assert small.tolist() == large[:8].tolist()
    assert len(set(large.tolist())) == 30


def test_held_out_rows_share_no_class_with_training_rows(cifar10):
    training = cifar10.draw(40, np.random.default_rng(0))
    held_out = cifar10.held_out(training)
    assert not set(cifar10.classes[held_out]) & set(cifar10.classes[training])
    assert len(held_out) < len(cifar10) - 40


def test_mutants_are_one_edit_from_the_best_of_a_sample(cifar10):
    rows = cifar10.mutants(np.random.default_rng(5))
    assert len(set(rows)) == len(rows) == 200
    drawn = cifar10.draw(50, np.random.default_rng(5))
    best = [cifar10.architectures[r] for r in drawn[np.argsort(-cifar10.labels[drawn])[:10]]]
    space = cifar10.benchmark.space
    for row in rows[::20]:
        assert min(space.edit_distance(cifar10.architectures[row], parent) for parent in best) == 1


def test_a_task_that_is_no_fraction_is_refused():
    benchmark = benchmarks.get("nasbench201/cifar10")
    seconds = type(benchmark)(**{**vars(benchmark), "validation": np.asarray(benchmark.validation) * 10})
    with raised(DataError, "nasbench201/cifar10"):
        Pool.of(seconds)


# -- running -----------------------------------------------------------------------------------------------------------


def test_the_table_is_tidy_and_complete(small, done):
    _, table = done
    rows = table.to_pylist()
    trained = [row for row in rows if row["loss"] != CEILING]
    assert {row["seed"] for row in trained} == {0, 1}
    assert {row["set"] for row in rows} == {"space", "held_out", "mutants"}
    assert len(small.cases()) == 6
    per_run = len({(row["set"], row["metric"]) for row in trained})
    assert len(trained) == 6 * 2 * per_run
    assert all(np.isfinite(row["value"]) for row in rows)
    ceiling = {row["metric"]: row["value"] for row in rows if row["loss"] == CEILING and row["set"] == "space"}
    assert ceiling["kendall_b"] > 0.85


def test_a_finished_study_trains_nothing(small, done, monkeypatch):
    directory, table = done
    monkeypatch.setattr(loss_study, "run_case", lambda case: pytest.fail(f"trained {case} again"))
    assert run_loss_study(small, directory).equals(table)


@pytest.mark.processes
def test_a_study_killed_between_cases_goes_on_and_gives_the_same(small, done, tmp_path):
    script = """
        import os, signal, sys
        from pathlib import Path
        from po_nas.core.settings import validated
        from po_nas.research.loss_study.design import LossStudyConfig
        from po_nas.research.loss_study.run import run_loss_study
        def tell(progress):
            if progress.done == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        run_loss_study(validated(LossStudyConfig, eval(sys.argv[1])), Path(sys.argv[2]), 1, tell)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), repr(SMALL), str(tmp_path)]
    killed = subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    seen = []
    again = run_loss_study(small, tmp_path, progress=lambda progress: seen.append(progress.done))
    assert seen == [2, 3, 4, 5, 6]
    assert again.equals(done[1])


DIES = """
import os
from po_nas.research.loss_study import run
real = run.run_case

def dies(case):
    if case.loss.name == "hr" and case.task.train == 12:
        os._exit(9)
    return real(case)

run.run_case = dies
"""


@pytest.mark.slow
def test_a_case_of_which_its_process_dies_stops_no_other(small, done, tmp_path):
    plugin = tmp_path / "loss_study_dies.py"
    plugin.write_text(DIES)
    seen = []
    with pytest.raises(StudyError) as caught:
        run_loss_study(small, tmp_path / "out", 2, seen.append, [str(plugin)])
    (title,) = caught.value.failed
    assert all(name in title for name in ("hr (margin=0.2)", "gcn", "12", "nasbench201/cifar10"))
    assert (seen[-1].done, len(seen[-1].failed)) == (6, 1)
    assert len([*(tmp_path / "out/parts").iterdir()]) == 5
    seen.clear()
    assert run_loss_study(small, tmp_path / "out", 2, seen.append).equals(done[1])
    assert seen[0].done == 5


def test_report(small, done, tmp_path):
    results = LossResults.of(done[1])
    text = loss_tables(results, small)
    assert "| hr (margin=0.2) |" in text
    assert "| top |" in text
    assert "*ceiling*" in text
    page = tmp_path / "page.md"
    write_loss_page(done[1], small, page)
    assert text.strip() in page.read_text()
    tables, *figures = make_loss_report(done[1], small, tmp_path)
    assert tables.read_text() == text
    assert {path.name for path in figures} == {path.name for path in (tmp_path / "results/page").iterdir()}
    assert {path.stem for path in figures} == {
        "precision",
        "best_rank",
        "kendall",
        "mutants",
        "levels",
        "training_size",
    }
    assert all(path.stat().st_size > 5000 for path in figures)


def test_benchmarks_without_data_are_left_out_and_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "empty"))
    config = validated(
        LossStudyConfig, SMALL | {"tasks": [TASK, {"benchmark": "transnas_micro/jigsaw", "train": 4}], "sweep": []}
    )
    loss_study._pool.cache_clear()
    seen = []
    table = run_loss_study(config, tmp_path / "study", progress=seen.append)
    loss_study._pool.cache_clear()
    assert "po-nas data get transnasbench101" in seen[0].remarks[0]
    assert set(table["task"].to_pylist()) == {"nasbench201/cifar10"}


def test_a_bad_hyperparameter_says_which_loss():
    with raised(ConfigError, "hr", "margin"):
        load_loss_study(None, ("losses=[{name: hr, margin: -1}]",))
