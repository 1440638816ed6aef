"""The configurations that come with the package are found from anywhere, listed, shown and copied."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

import po_nas
from po_nas.commands.app import app
from po_nas.commands.config_files import config_path, folder, packaged_file, packaged_files
from po_nas.errors import ConfigError, UnknownNameError
from tests.errors import raised


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_each_is_found_by_every_name_it_goes_by(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stems = Counter(file.stem for file in packaged_files())
    assert len(stems) > 30
    for file in packaged_files():
        inside = file.relative_to(folder())
        alone = stems[file.stem] == 1 or inside.parent == Path()
        for name in (inside, inside.with_suffix(""), f"configs/{inside}", *([file.stem, file.name] if alone else ())):
            assert packaged_file(name) == file
            assert config_path(name).resolve() == file.resolve()


def test_a_name_that_two_folders_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raised(ConfigError, "published/nasbench_graph", "scores/nasbench_graph", key="configuration"):
        config_path("nasbench_graph")
    assert config_path("po_nas_paper").parent == folder()
    assert config_path("studies/po_nas_paper").parent == folder() / "studies"


def test_a_file_that_is_there_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_path("quickstart").parent == folder()
    (tmp_path / "quickstart").write_text("budget: 1\n")
    assert config_path("quickstart").resolve() == tmp_path / "quickstart"
    # What looks like a path is one, and its reader says that it is not there.
    for name in ("mine/none", "none.yaml", str(tmp_path / "none.yaml")):
        assert str(config_path(name)) == name


@pytest.mark.parametrize("name", ["quickstrat", "", ".", "numbers/pwlnas_table2"])
def test_a_name_that_none_has(name):
    with raised(UnknownNameError, name=name):
        packaged_file(name)


def test_a_plain_word_is_not_a_path():
    with raised(UnknownNameError, name="quickstrat", suggestion="quickstart"):
        config_path("quickstrat")


def test_list_and_show():
    listed = run("configs", "list").output.splitlines()[1:]
    assert [line.split("\t")[0] for line in listed] == [
        file.relative_to(folder()).with_suffix("").as_posix() for file in packaged_files()
    ]
    for line in listed:
        summary = line.split("\t")[1]
        assert len(summary) > 20, line
        assert "#" not in summary
    assert run("configs", "show", "quickstart").output == packaged_file("quickstart").read_text()


def test_copy(tmp_path):
    assert run("configs", "copy", "quickstart", "--out", tmp_path).exit_code == 0
    assert run("configs", "copy", "quickstart", "--out", tmp_path / "new" / "mine.yaml").exit_code == 0
    text = packaged_file("quickstart").read_text()
    assert (tmp_path / "quickstart.yaml").read_text() == (tmp_path / "new" / "mine.yaml").read_text() == text
    (tmp_path / "quickstart.yaml").write_text("mine")
    refused = run("configs", "copy", "quickstart", "--out", tmp_path)
    assert isinstance(refused.exception, ConfigError)
    assert (tmp_path / "quickstart.yaml").read_text() == "mine"


def test_a_search_and_a_comparison_take_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("search", "quickstart", "budget=3", "method=random", "--out", "run", "--quiet").exit_code == 0
    assert (tmp_path / "run" / "summary.json").exists()
    words = ["compare", "compare_quick", "seeds=2", "budget=4", "at=4", "methods=[random, regularized_evolution]"]
    done = run(*words, "benchmarks=nasbench201/cifar10", "--out", "study", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "study" / "results.parquet").exists()


def test_version():
    assert run("--version").output.strip() == po_nas.__version__
