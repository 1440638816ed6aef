"""The examples, at a small size: they search, and what they say of themselves is so."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import jupytext
import pytest

import po_nas
from po_nas.reports.run import load_run

FOLDER = Path(__file__).parents[1] / "examples"
SMALL = {
    "vit_digits": {"budget": 1, "epochs": 1, "pool": 6},
    "tabular_mlp": {"budget": 2, "epochs": 1},
    "char_gpt": {"budget": 1, "steps": 2, "pool": 6},
    "graph_network": {"budget": 2, "epochs": 2},
    "stages": {"budget": 1, "epochs": 1, "pool": 6},
}


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.parametrize("name", SMALL)
def test_it_searches(example, name, tmp_path):
    found = example(name).main(**SMALL[name], out=tmp_path)
    assert (found.evaluations, found.failed) == (SMALL[name]["budget"], 0)
    run = load_run(tmp_path)
    assert found.validation == run.incumbent().validation
    space = example(name).space
    assert {len(space.config_of(space.from_string(trial.architecture))) > 3 for trial in run.trials} == {True}
    assert json.loads(found.incumbent) == space.config_of(space.from_string(found.incumbent))


def test_every_example_is_here_and_in_the_readme_with_its_result():
    files = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert files == sorted(SMALL)
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in files:
        assert f"\n| {name}.py |" in text
        assert f"\n| [{name}.py]({name}.py) |" in text


@pytest.mark.parametrize("name", SMALL)
def test_it_is_short(name):
    lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert sum(bool(line.strip()) and not line.startswith("#") for line in lines) <= 60


def cells(file):
    notebook = jupytext.read(FOLDER / file)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@pytest.mark.parametrize("name", SMALL)
def test_its_notebook_has_the_same_cells(name):
    """`make notebooks` writes them anew."""
    assert cells(f"{name}.ipynb") == cells(f"{name}.py")


@pytest.mark.parametrize(
    "name", [name if name == "char_gpt" else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_its_notebook_runs(name, tmp_path, monkeypatch, capsys):
    """Cell by cell in one namespace that has no ``__file__``, as a kernel has none."""
    monkeypatch.chdir(FOLDER)
    namespace = {"__name__": "__main__"}
    for kind, source in cells(f"{name}.ipynb"):
        if kind == "code":
            if "found = main()" in source:
                namespace["small"] = {**SMALL[name], "out": tmp_path / "run"}
                source = source.replace("found = main()", "found = main(**small)")
            exec(compile(source, name, "exec"), namespace)
    assert namespace["found"].evaluations == SMALL[name]["budget"]
    assert namespace["found"].incumbent in capsys.readouterr().out


@pytest.mark.parametrize("name", SMALL)
def test_it_has_a_picture(name):
    """`python perf/examples.py` draws them."""
    assert f"](pictures/{name}.png)" in (FOLDER / "README.md").read_text(encoding="utf-8")
    picture = (FOLDER / "pictures" / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 100_000


@pytest.mark.slow
def test_a_run_of_an_example_is_resumed(example, tmp_path):
    module = example("graph_network")
    module.main(budget=3, epochs=2, out=tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_text("".join(lines[:4]))
    (tmp_path / "summary.json").unlink()
    resumed = po_nas.resume(tmp_path, objective=lambda config, seed: module.train(config, seed, 2))
    assert resumed.evaluations == 3
