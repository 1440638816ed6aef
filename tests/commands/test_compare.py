"""``po-nas compare``."""

from __future__ import annotations

from pathlib import Path

import pytest

import po_nas
from po_nas import methods
from po_nas.compare.design import load_comparison
from po_nas.compare.results import Study
from po_nas.errors import ConfigError, RunDirectoryError
from tests.commands.test_verbs import invoke, refused
from tests.errors import check

STUDIES = Path(__file__).parents[2] / "configs" / "studies"
TASK = "nasbench_graph/proteins"


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"benchmarks: {TASK}\nmethods: [random, local_search]\nseeds: 2\nbudget: 6\n")
    return path


def test_from_a_file_to_a_report(tmp_path, study):
    out = tmp_path / "out"
    result = invoke("compare", study, "seeds=3", "--out", out, "--workers", "1")
    assert result.exit_code == 0, result.output
    for name in ("results.parquet", "report.html", "tables/regret.tex", "figures/anytime_evaluations.png"):
        assert (out / name).is_file()
    assert f"report   {out}/report.html" in result.output
    assert Study.load(out).record["finished"] == 6
    (out / "report.html").unlink()
    for name in ("failures.md", "tests_test.tex", "regret.pdf"):
        (out / "tables" / name).touch()
    assert invoke("compare", "--report-only", "--out", out).exit_code == 0
    assert (out / "report.html").is_file()
    # What an earlier report left is gone, what the user put there is not.
    assert {path.name for path in (out / "tables").glob("*.*") if not path.read_text("latin1")} == {"regret.pdf"}


def test_a_report_may_show_the_results_in_another_way(tmp_path, study):
    out = ("--out", tmp_path / "out")
    assert invoke("compare", study, *out, "--workers", "1").exit_code == 0
    study.write_text(study.read_text() + "notes: hindsight\n")
    page = tmp_path / "page.md"
    assert invoke("compare", study, "at=[3,6]", "--report-only", *out, "--markdown", page).exit_code == 0
    assert "hindsight" in page.read_text()
    assert f"| {TASK} | 3 |" in (tmp_path / "out/tables/regret.md").read_text()
    check(refused("compare", "at=3", "--report-only", *out), "--report-only", key="at")
    check(refused("compare", study, "budget=9", "at=9", "--report-only", *out), "--report-only", key="budget", value=9)
    check(refused("compare", study, "seeds=1", "--report-only", *out), "--report-only", key="seeds", value=[0])
    study.write_text(study.read_text().replace("local_search", "npenas"))
    check(refused("compare", study, "--report-only", *out), "npenas", "--report-only", key="methods")
    study.write_text(study.read_text().replace("npenas", "local_search").replace(TASK, "nasbench_graph/cora"))
    check(refused("compare", study, "--report-only", *out), "nasbench_graph/cora", key="benchmarks")


def test_several_studies_have_a_folder_each(tmp_path, study):
    other = study.with_name("other.yaml")
    other.write_text(study.read_text().replace("local_search", "regularized_evolution"))
    arguments, page = ("compare", study, other, "seeds=1", "--workers", "1", "--out"), tmp_path / "page.md"
    assert invoke(*arguments, tmp_path / "out", "--markdown", page).exit_code == 0
    assert Study.load(tmp_path / "out/mine").methods == ["random", "local_search"]
    assert Study.load(tmp_path / "out/other").methods == ["random", "regularized_evolution"]
    text = page.read_text()
    assert text.startswith("# Comparisons\n")
    assert f"`po-nas compare {study} {other} seeds=1 --out {tmp_path / 'out'} --markdown {page}`" in text
    assert text.index("\n## mine\n") < text.index("\n### Simple regret") < text.index("\n## other\n")
    namesake = tmp_path / "elsewhere" / "mine.yaml"
    namesake.parent.mkdir()
    namesake.write_text(study.read_text())
    check(refused("compare", study, namesake, "--out", tmp_path / "new"), str(study), key="STUDY.yaml")
    other.write_text("budget: x")
    assert isinstance(refused(*arguments, tmp_path / "new"), ConfigError)
    assert not (tmp_path / "new").exists()


def test_run_directories_are_compared(tmp_path):
    for seed in (0, 1):
        po_nas.search(benchmark=TASK, method="random", budget=4, seed=seed, out=tmp_path / f"run{seed}")
    result = invoke("compare", tmp_path / "run0", tmp_path / "run1", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "random" in (tmp_path / "out/tables/regret.md").read_text()
    error = refused("compare", tmp_path / "run0", "seeds=3", "--out", tmp_path / "out")
    check(error, key="seeds")


def test_runs_that_share_no_seed_are_not_called_paired(tmp_path):
    for seed, method in enumerate(("random", "local_search")):
        po_nas.search(benchmark=TASK, method=method, budget=4, seed=seed, out=tmp_path / method)
    page = tmp_path / "page.md"
    command = ("compare", tmp_path / "random", tmp_path / "local_search", "--out", tmp_path / "out", "--markdown", page)
    assert invoke(*command).exit_code == 0
    assert "paired as far as methods have the same" in page.read_text()


def test_bad_input_leaves_nothing_behind(tmp_path, study):
    out = ("--out", tmp_path / "out", "--workers", "1")
    check(refused("compare", study, "seeds=[1,1]", *out), key="seeds", value=[1, 1])
    check(refused("compare", study, "at=7", *out), "6", key="at", value=7)
    check(refused("compare", study, "budget=3000", *out), TASK, "2021", key="budget", value=3000)
    assert isinstance(refused("compare", "--report-only", *out), RunDirectoryError)
    assert invoke("compare").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_what_failed_or_is_missing_is_said_on_the_way(tmp_path, study, monkeypatch):
    monkeypatch.setenv("PO_NAS_CACHE", str(tmp_path / "cache"))
    setting = f"benchmarks=[{TASK}, transnas_micro/normal]"
    result = invoke("compare", study, setting, "--out", tmp_path / "out", "--workers", "1")
    assert result.exit_code == 0
    (left,) = [line for line in result.stderr.splitlines() if "transnas_micro/normal" in line]
    assert "po-nas data get transnasbench101" in left


def test_a_search_that_fails_is_in_the_exit_code(tmp_path, study):
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "import po_nas\n\n\n@po_nas.methods.register('breaks', summary='fails')\nclass Breaks(po_nas.Searcher):\n"
        "    def propose(self, rng):\n        raise RuntimeError('no')\n"
    )
    study.write_text(study.read_text().replace("local_search", "breaks"))
    try:
        result = invoke("compare", study, "--out", tmp_path / "out", "--workers", "1", "--plugin", plugin)
        assert result.exit_code == 1
        assert Study.load(tmp_path / "out").record["finished"] == 2
    finally:
        methods.registry.remove("breaks")


@pytest.mark.parametrize("path", sorted(STUDIES.glob("compare_*.yaml")), ids=lambda path: path.stem)
def test_studies_that_come_along_are_good(path):
    assert load_comparison(path).cells(load_comparison(path).names())
