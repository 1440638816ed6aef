"""The examples, at a small size: they search, and what they say of themselves is so."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

import po_nas
from po_nas.reports.run import load_run

FOLDER = Path(__file__).parents[1] / "examples"
SMALL = {
    "vit_digits": {"budget": 1, "epochs": 1, "pool": 6},
    "tabular_mlp": {"budget": 2, "epochs": 1},
    "char_gpt": {"budget": 2, "steps": 2},
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
    assert sum(bool(line.strip()) for line in lines) <= 60


@pytest.mark.slow
def test_a_run_of_an_example_is_resumed(example, tmp_path):
    module = example("graph_network")
    module.main(budget=3, epochs=2, out=tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_text("".join(lines[:4]))
    (tmp_path / "summary.json").unlink()
    resumed = po_nas.resume(tmp_path, objective=lambda config, seed: module.train(config, seed, 2))
    assert resumed.evaluations == 3
