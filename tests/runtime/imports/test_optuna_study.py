"""Evaluations from Optuna: files and studies, their states, values and directions."""

from __future__ import annotations

import shutil
import sys
import warnings
from contextlib import suppress

import numpy as np
import optuna
import pytest

import po_nas
from po_nas import Float, Int
from po_nas.errors import ConfigError, MissingExtraError, UnknownNameError
from po_nas.runtime.imports.evaluations import ImportFileError, NothingFitsError
from tests.errors import raised

from .space import SPACE, told

optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggested(trial):
    """The space as one writes it for Optuna; layers are counted from 0."""
    found = {"depth": trial.suggest_int("depth", 1, 3)}
    layers = range(found["depth"])
    found["width"] = [trial.suggest_categorical(f"width_{k}", [8, 16, 32]) for k in layers]
    found["op"] = [trial.suggest_categorical(f"op_{k}", ["conv", "pool", None]) for k in layers]
    found["kernel"] = [trial.suggest_int(f"kernel_{k}", 1, 7) if found["op"][k] == "conv" else None for k in layers]
    found["heads"] = [trial.suggest_int(f"heads_{k}", 1, 2) for k in range(2)]
    found["size"] = [
        [trial.suggest_float(f"size_{k}_{j}", 0.5, 2.0, step=0.5) for j in range(heads)]
        for k, heads in enumerate(found["heads"])
    ]
    found["act"] = trial.suggest_categorical("act", ["relu", "gelu"])
    found["norm"] = trial.suggest_categorical("norm", [True, False, None])
    found["lr"] = trial.suggest_float("lr", 1e-3, 1e-1, log=True)
    if found["act"] == "relu":
        found["momentum"] = trial.suggest_float("momentum", 0.0, 0.9)
    return found


SEEN = {}


def objective(trial):
    config = suggested(trial)
    value = float(np.sin(trial.number))
    if all(s in (0.5, 1.0, 2.0) for row in config["size"] for s in row):
        SEEN[SPACE.to_string(SPACE.architecture_of(config))] = value
    return value


def study_in(storage, name="first"):
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1)
    )
    study.optimize(objective, n_trials=12)
    return study


@pytest.fixture(scope="module")
def study():
    return study_in(None)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory, study):
    path = tmp_path_factory.mktemp("optuna") / "studies.db"
    storage = f"sqlite:///{path}"
    optuna.copy_study(from_study_name="first", from_storage=study._storage, to_storage=storage)
    optuna.create_study(storage=storage, study_name="second")
    return path


def test_a_study_comes_back(study, tmp_path):
    found = po_nas.import_evaluations(study, space=SPACE, out=tmp_path)
    assert dict(told(tmp_path)) == SEEN
    assert 0 < len(SEEN) < 12
    assert len(found.left_out) == 12 - len(SEEN)
    assert all("size[" in one.reason and "1.5" in one.reason for one in found.left_out)
    assert found.result.validation == max(SEEN.values())


def test_a_sqlite_file_is_read_and_not_changed(sqlite, tmp_path):
    before = sqlite.read_bytes()
    for source in (sqlite, f"sqlite:///{sqlite}"):
        po_nas.import_evaluations(source, space=SPACE, out=tmp_path / "run", study="first")
        assert dict(told(tmp_path / "run")) == SEEN
        shutil.rmtree(tmp_path / "run")
    assert sqlite.read_bytes() == before
    assert [path.name for path in sqlite.parent.iterdir()] == ["studies.db"]


def test_a_journal_file_is_read_and_not_changed(study, tmp_path):
    path = tmp_path / "journal.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    optuna.copy_study(from_study_name="first", from_storage=study._storage, to_storage=storage)
    before = path.read_bytes()
    po_nas.import_evaluations(path, space=SPACE, out=tmp_path / "run")
    assert dict(told(tmp_path / "run")) == SEEN
    assert path.read_bytes() == before


def test_which_study_is_said(sqlite, tmp_path):
    with raised(ConfigError, "first", "second", key="study"):
        po_nas.import_evaluations(sqlite, space=SPACE, out=tmp_path / "run")
    with raised(UnknownNameError, "first"):
        po_nas.import_evaluations(sqlite, space=SPACE, out=tmp_path / "run", study="frist")
    with raised(NothingFitsError, left_out=()):
        po_nas.import_evaluations(sqlite, space=SPACE, out=tmp_path / "run", study="second")
    with raised(ConfigError, key="maximize"):
        po_nas.import_evaluations(sqlite, space=SPACE, out=tmp_path / "run", study="first", maximize=False)
    assert not (tmp_path / "run").exists()


def test_another_database_is_refused(tmp_path):
    import sqlite3

    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()
    with raised(ImportFileError, path=tmp_path / "a.db"):
        po_nas.import_evaluations(tmp_path / "a.db", space=SPACE, out=tmp_path / "run")


PAIR = po_nas.declare("pair", x=Float(0.0, 1.0), k=Int(1, 9))


def finished(study, x, k, values=None, state=optuna.trial.TrialState.COMPLETE, **more):
    distributions = {"x": optuna.distributions.FloatDistribution(0, 1), "k": optuna.distributions.IntDistribution(1, 9)}
    study.add_trial(
        optuna.trial.create_trial(
            params={"x": x, "k": k}, distributions=distributions, values=values, state=state, **more
        )
    )


def test_trials_that_are_no_whole_evaluations(tmp_path):
    state = optuna.trial.TrialState
    study = optuna.create_study()
    finished(study, 0.1, 1, [3.0])
    finished(study, 0.2, 2, state=state.FAIL)
    finished(study, 0.3, 3, [0.5], state=state.PRUNED, intermediate_values={1: 0.5})
    finished(study, 0.4, 4, state=state.RUNNING)
    finished(study, 0.5, 5, state=state.WAITING)
    finished(study, 0.6, 6, [float("inf")])
    found = po_nas.import_evaluations(study, space=PAIR, out=tmp_path)
    assert [value for _, value in told(tmp_path)] == [3.0, None, None]
    reasons = {one.where: one.reason for one in found.left_out}
    assert list(reasons) == ["trial 2", "trial 3", "trial 4"]
    assert "pruned" in reasons["trial 2"]
    assert "running" in reasons["trial 3"]


def test_several_values_and_user_attributes(tmp_path):
    study = optuna.create_study(directions=["minimize", "maximize"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["loss", "accuracy"])
    finished(study, 0.1, 1, [3.0, 0.7], user_attrs={"f1": 0.4, "epochs": 3})
    finished(study, 0.2, 2, [2.0, 0.6], user_attrs={"f1": 0.5, "epochs": 9})

    def best(name, **options):
        return po_nas.import_evaluations(study, space=PAIR, out=tmp_path / str(name), value=name, **options)

    with raised(ConfigError, "loss", "accuracy", key="value"):
        best(None)
    with raised(ConfigError, key="value"):
        best("recall")
    with raised(ConfigError, key="maximize"):
        best("f1")
    assert best("loss").result.validation == 2.0
    assert best("1").result.validation == 0.7
    assert best("f1", maximize=True).result.validation == 0.5
    assert best("accuracy", where={"epochs": "9"}).result.validation == 0.6


def test_damaged_files_are_refused(sqlite, tmp_path):
    """Whatever is changed in a file, there is one sentence, or what is whole."""
    content = bytearray(sqlite.read_bytes())
    rng = np.random.default_rng(0)
    for number in range(6):
        damaged = bytearray(content)
        place = int(rng.integers(100, len(content) - 4000))
        damaged[place : place + 4000] = rng.bytes(4000)
        (tmp_path / "a.db").write_bytes(damaged)
        with suppress(po_nas.PoNasError):
            po_nas.import_evaluations(tmp_path / "a.db", space=SPACE, out=tmp_path / str(number), study="first")
            assert set(told(tmp_path / str(number))) <= set(SEEN.items())
    (tmp_path / "b.log").write_text(
        '{"op_code": 0, "worker_id": "a", "study_name": "x", "directions": [7]}\n{"op_code": 4\n'
    )
    with raised(ImportFileError, path=tmp_path / "b.log"):
        po_nas.import_evaluations(tmp_path / "b.log", space=SPACE, out=tmp_path / "run")


def test_without_optuna_the_error_says_what_to_install(sqlite, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with raised(MissingExtraError, "po-nas[optuna]", extra="optuna"):
        po_nas.import_evaluations(sqlite, space=SPACE, out=tmp_path / "run")
