"""Evaluations from directories as several versions of NePS write them."""

from __future__ import annotations

import pytest
import yaml

import po_nas
from po_nas import Categorical, Float, Int
from po_nas.errors import ConfigError
from po_nas.runtime.imports.evaluations import ImportFileError
from tests.errors import raised

from .space import told

SPACE = po_nas.declare("neps", lr=Float(1e-4, 1e-1, log=True), depth=Int(1, 4), act=Categorical(["relu", "gelu"]))
SAMPLED = "SAMPLING__Resolvable."
REPORT = {"cost": 2.5, "err": None, "evaluation_duration": 0.5, "extra": {}, "reported_as": "success", "tb": None}


def sampled(lr, depth, act):
    """A configuration as versions with `neps.PipelineSpace` write it: of a categorical choice the number."""
    return {
        f"{SAMPLED}act::categorical__2": act,
        f"{SAMPLED}depth::integer__1_4_False": depth,
        f"{SAMPLED}lr::float__0.0001_0.1_True": lr,
    }


def write(root, name, config, report, folder="configs", file="report.yaml"):
    place = root / folder / name
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    if report is not None:
        (place / file).write_text(report if isinstance(report, str) else yaml.safe_dump(report))


def test_a_directory_of_a_newer_version(tmp_path):
    root = tmp_path / "neps"
    write(root, "config_10", sampled(0.01, 1, 1), REPORT | {"objective_to_minimize": 0.2, "extra": {"acc": 0.8}})
    write(root, "config_9", sampled(0.001, 4, 0), REPORT | {"objective_to_minimize": 0.3, "extra": {"acc": 0.9}})
    failed = {"objective_to_minimize": None, "cost": None, "err": "no way", "reported_as": "crashed"}
    write(root, "config_11", sampled(0.002, 2, 0), REPORT | failed)
    write(root, "config_12", sampled(0.003, 3, 0), None)
    write(root, "config_13", sampled(0.5, 3, 0), REPORT | {"objective_to_minimize": 0.2})
    write(root, "config_14", sampled(0.004, 3, 0), "{broken")
    options = {"space": SPACE, "categories": {"act": ["gelu", "relu"]}}
    found = po_nas.import_evaluations(root, out=tmp_path / "run", **options)
    assert told(tmp_path / "run") == [
        ('{"lr":0.001,"depth":4,"act":"gelu"}', 0.3),
        ('{"lr":0.01,"depth":1,"act":"relu"}', 0.2),
        ('{"lr":0.002,"depth":2,"act":"gelu"}', None),
    ]
    assert (found.result.validation, found.result.cost_s) == (0.2, 1.5)
    assert [one.where for one in found.left_out] == ["config_12", "config_13", "config_14"]
    accuracy = po_nas.import_evaluations(root, out=tmp_path / "acc", value="acc", maximize=True, **options)
    assert accuracy.result.validation == 0.9
    with raised(ConfigError, key="maximize"):
        po_nas.import_evaluations(root, out=tmp_path / "no", maximize=True, **options)


@pytest.mark.parametrize("categories", [None, {"act": ["relu"]}, {"lr": [1, 2]}])
def test_numbers_of_values_are_not_guessed(tmp_path, categories):
    write(tmp_path / "neps", "config_1", sampled(0.01, 1, 1), REPORT | {"objective_to_minimize": 0.2})
    with raised(ConfigError, key="categories.act"):
        po_nas.import_evaluations(tmp_path / "neps", space=SPACE, out=tmp_path / "run", categories=categories)


def test_evaluations_of_a_part_of_a_training_are_left_out(tmp_path):
    root = tmp_path / "neps"
    for rung, epochs in enumerate((1, 3, 9)):
        config = sampled(0.01, 1, 1) | {"ENVIRONMENT__epochs": epochs}
        write(root, f"config_7_rung_{rung}", config, REPORT | {"objective_to_minimize": 1 / epochs})
    options = {"space": SPACE, "categories": {"act": ["relu", "gelu"]}}
    # Without the name of the fidelity, it is one that the space does not have; `where` says which ones are meant.
    found = po_nas.import_evaluations(root, out=tmp_path / "a", where={"epochs": 3}, **options)
    assert found.result.validation == 1 / 3
    fidelity = {"lower": 1, "name": "ENVIRONMENT__epochs", "upper": 9}
    (root / "optimizer_info.yaml").write_text(yaml.safe_dump({"derived": {"fidelity": fidelity}, "name": "hyperband"}))
    found = po_nas.import_evaluations(root, out=tmp_path / "b", **options)
    assert told(tmp_path / "b") == [('{"lr":0.01,"depth":1,"act":"gelu"}', 1 / 9)]
    assert [one.where for one in found.left_out] == ["config_7_rung_0", "config_7_rung_1"]


def test_a_directory_of_an_older_version(tmp_path):
    root, old = tmp_path / "neps", {"folder": "results", "file": "result.yaml"}
    write(root, "config_1", {"lr": 0.01, "depth": 1, "act": "relu"}, {"loss": 0.2, "cost": 3}, **old)
    write(root, "config_2", {"lr": 0.02, "depth": 1, "act": "relu"}, "error", **old)
    write(root, "config_3", {"lr": 0.03, "depth": 2, "act": "relu"}, {"info_dict": {"acc": 1}, "loss": 0.1}, **old)
    po_nas.import_evaluations(root, space=SPACE, out=tmp_path / "run")
    assert [value for _, value in told(tmp_path / "run")] == [0.2, None, 0.1]


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "configs").mkdir()
    with raised(ImportFileError, path=tmp_path):
        po_nas.import_evaluations(tmp_path, space=SPACE, out=tmp_path / "run")
