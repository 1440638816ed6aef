"""Evaluations from an Optuna study: a SQLite file, a journal file, or a study in memory."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from po_nas.errors import ConfigError, MissingExtraError, PoNasError, UnknownNameError
from po_nas.runtime.imports.evaluations import Evaluation, Found, ImportFileError, LeftOut, told

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["is_journal", "is_sqlite", "read_study", "read_study_file"]

_SQLITE = b"SQLite format 3\x00"


def is_sqlite(path: Path) -> bool:
    """Whether a file is a SQLite database."""
    return _head(path, len(_SQLITE)) == _SQLITE


def is_journal(path: Path) -> bool:
    """Whether a file begins like a journal of Optuna: a JSON object with an operation."""
    return _head(path, 4096).lstrip().startswith(b"{") and b'"op_code"' in _head(path, 4096)


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise ImportFileError(path, f"cannot be read ({error.strerror})") from error


def read_study_file(path: Path, study: str | None, value: str | None) -> Found:
    """The trials of a study in a file, which is not changed: Optuna reads a copy.

    Args:
        path: A SQLite file or a journal file.
        study: The name of the study; may be left out where the file holds one alone.
        value: What is taken as the search signal; see `read_study`.

    Raises:
        MissingExtraError: When Optuna is not installed.
        ImportFileError: For a file that Optuna cannot read.
        UnknownNameError: For a study that is not in the file.
        ConfigError: When there are several studies and none is named.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("reading Optuna studies", "optuna", "optuna") from error
    with tempfile.TemporaryDirectory() as folder:
        try:
            storage = _storage(path, Path(folder))
            names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
            if not names:
                raise ImportFileError(path, "holds no study")
            if study is None and len(names) > 1:
                raise ConfigError("study", "", f"must name one; {path.name} holds {', '.join(sorted(names))}")
            if study is not None and study not in names:
                raise UnknownNameError(f"study of {path.name}", study, names)
            # What is found is in memory, so nothing of it hangs on the folder.
            found = read_study(optuna.load_study(study_name=study or names[0], storage=storage), value)
            storage.remove_session()
        except PoNasError:
            raise
        except Exception as error:
            # Databases, migrations and JSON fail in many ways.
            told_by = " ".join(str(error).split())[:200]
            raise ImportFileError(path, f"cannot be read by Optuna ({type(error).__name__}: {told_by})") from error
    return found


def _storage(path: Path, folder: Path) -> BaseStorage:
    """The storage of a copy of the file, without the lines of Optuna's own log."""
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    copy = folder / "study"
    if not is_sqlite(path):
        shutil.copyfile(path, copy)
        return JournalStorage(JournalFileBackend(str(copy)))
    try:
        # Not a copy of the file: what is in the log beside it belongs to the database, too.
        address = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            tables = {name for (name,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise ImportFileError(path, f"is a damaged SQLite file ({error})") from error
    if "trials" not in tables:
        raise ImportFileError(path, "is no database of Optuna; it has no table of trials")
    return RDBStorage(f"sqlite:///{copy}")


def read_study(study: Study, value: str | None = None) -> Found:
    """The trials of a study.

    Failed trials are failed evaluations. Pruned ones are left out, for their values are those of a part of a training,
    and so are those that are not over.

    Args:
        study: The study.
        value: What is taken as the search signal: a metric of the study by its name or number, or a user attribute;
            default: the one value that the study optimises.

    Raises `ConfigError` where it optimises several values and none is named, or where no trial has that attribute.
    """
    from optuna.study import StudyDirection

    names = list(study.metric_names or [str(k) for k in range(len(study.directions))])
    number = _objective(names, value)
    trials = study.get_trials(deepcopy=False)
    if number is None and not any(value in trial.user_attrs for trial in trials):
        raise ConfigError("value", value, f"is no metric of the study ({', '.join(names)}), and no user attribute")
    maximize = None if number is None else study.directions[number] == StudyDirection.MAXIMIZE
    called = names[number] if number is not None else str(value)
    found = (_evaluation(trial, number, value) for trial in trials)
    return Found.of(found, maximize, "value" if called.isdigit() else called)


def _objective(names: list[str], value: str | None) -> int | None:
    """The number of the metric that is meant; None for a user attribute."""
    if value is None:
        if len(names) > 1:
            raise ConfigError("value", "", f"must name one; the study optimises several: {', '.join(names)}")
        return 0
    if value in names:
        return names.index(value)
    return int(value) if value.isdigit() and int(value) < len(names) else None


def _evaluation(trial: FrozenTrial, number: int | None, value: str | None) -> Evaluation | LeftOut:
    from optuna.trial import TrialState

    where, seconds = f"trial {trial.number}", trial.duration
    cost_s = 0.0 if seconds is None else seconds.total_seconds()
    if trial.state is TrialState.FAIL:
        reason = trial.system_attrs.get("fail_reason", "it failed in Optuna")
        return Evaluation(where, trial.params, None, str(reason), cost_s, trial.user_attrs)
    if trial.state is TrialState.PRUNED:
        return LeftOut(where, "it was pruned, so that its value is that of a part of a training")
    if trial.state is not TrialState.COMPLETE:
        return LeftOut(where, f"it is not over ({trial.state.name.lower()})")
    given: Any = trial.user_attrs.get(str(value)) if number is None else trial.values[number]
    return told(where, trial.params, given, cost_s, trial.user_attrs)
