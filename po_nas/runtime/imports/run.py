"""`import_evaluations`: evaluations made elsewhere become a run that is over, from which a search can start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

from po_nas._version import __version__
from po_nas.core.objective import Metric
from po_nas.errors import ConfigError, InvalidArchitectureError, RunDirectoryError
from po_nas.runtime.config import search_config
from po_nas.runtime.imports.configurations import Translation
from po_nas.runtime.imports.evaluations import (
    Evaluation,
    Found,
    ImportFileError,
    LeftOut,
    NothingFitsError,
    number_of,
    numbered,
)
from po_nas.runtime.imports.neps_directory import is_neps, read_neps
from po_nas.runtime.imports.optuna_study import is_journal, is_sqlite, read_study, read_study_file
from po_nas.runtime.imports.tables import read_csv, read_parquet, read_rows
from po_nas.runtime.journal import SCHEMA, Event, Journal
from po_nas.runtime.own_space import SpaceLike, space_of
from po_nas.runtime.run_directory import IMPORTED, Result, RunDirectory, holds_run
from po_nas.spaces.base import Architecture
from po_nas.spaces.declared.space import DeclaredSpace

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["Imported", "import_evaluations"]

_REASON = 2_000
"""Characters of the reason of a failure."""
Source: TypeAlias = "str | Path | Study | Iterable[Mapping[str, Any]]"
"""A file, a folder, an Optuna study, or rows."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was imported.

    Attributes:
        directory: The run directory.
        source: Where it is from, as printed.
        evaluations: Evaluations in the run; each of another configuration.
        failed: How many of them failed.
        repeats: Further evaluations of configurations that are in the run, averaged into theirs.
        left_out: What was not imported, and why.
        result: What ``summary.json`` holds.
    """

    directory: Path
    source: str
    evaluations: int
    failed: int
    repeats: int
    left_out: tuple[LeftOut, ...]
    result: Result


def import_evaluations(
    source: Source,
    *,
    space: SpaceLike,
    out: str | Path,
    value: str | None = None,
    maximize: bool | None = None,
    rename: Mapping[str, str] | None = None,
    ignore: str | Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
    fill: Mapping[str, Any] | None = None,
    categories: Mapping[str, Sequence[Any]] | None = None,
    study: str | None = None,
    cost: str | None = None,
) -> Imported:
    """Write evaluations made elsewhere to the directory `out`, as a run that is over.

    A search takes it as ``warm_start=[out]``: what was evaluated is told to the method and not made again. Evaluations
    that are not in the space are left out, each with its reason. Of a configuration that was evaluated several times
    the mean of the values is taken; where all of them failed, it failed.

    Args:
        source: An Optuna study (a SQLite file, a journal file, or the study itself), the root directory of a NePS run,
            a CSV or Parquet file with a row for each evaluation, or such rows: mappings of names to values.
        space: A declared space, the name of a registered one, or a declaration as in JSON.
        out: A directory that holds no run yet.
        value: Which number is optimised: a column of a table (required); of an Optuna study with several values a
            metric by its name or number, or a user attribute; of NePS an entry of ``info_dict``.
        maximize: Whether higher is better; required where the source does not say. A study says, NePS minimises.
        rename: Names of choices by names of the source; ``{"n_units_l{}": "width"}`` for layers, where the number
            stands for ``{}``. ``width_0`` and ``width[0]`` are understood without.
        ignore: Names of the source that are no choices; ``*`` stands for any characters.
        where: What the evaluations must have: ``{"epochs": 27}`` leaves all others out.
        fill: Values of choices that the source does not have.
        categories: For NePS: the values of categorical choices, in the order of its space.
        study: Which study of an Optuna file; may be left out where it holds one alone.
        cost: A column of a table with seconds.

    Returns:
        How many evaluations are in the run, and what was left out and why.

    Raises:
        ConfigError: For an argument that cannot be used, and a source that is none of these.
        ImportFileError: For a file or folder that cannot be read as what it should be.
        MissingExtraError: For a study, when Optuna is not installed.
        NothingFitsError: When no evaluation is in the space; nothing is written.
        RunDirectoryError: When `out` holds a run already, or cannot be written.

    Examples:
        >>> import po_nas
        >>> space = po_nas.declare("mlp", depth=po_nas.Int(1, 4))
        >>> rows = [{"depth": 1, "accuracy": 0.71}, {"depth": 2, "accuracy": 0.82}, {"depth": 9, "accuracy": 0.41}]
        >>> done = po_nas.import_evaluations(rows, space=space, out="runs/elsewhere", value="accuracy", maximize=True)
        >>> done.evaluations, len(done.left_out)  # there is no depth 9
        (2, 1)
    """
    path = Path(out).absolute()
    _refuse_used(path)
    found_space = space_of(space)
    if not isinstance(found_space, DeclaredSpace):
        raise ConfigError("space", found_space.name, "is not declared; only configurations of declared spaces fit")
    options = {"value": value, "categories": categories or {}, "study": study, "cost": cost}
    called, found = _read(source, options)
    higher = _direction(called, found, maximize)
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    chosen, left_out = _chosen(found, where or {})
    # What the evaluations are selected by may be a choice, and need not be one.
    translation = Translation(found_space, rename, ignored, fill, others=(where or {}).keys())
    translation.look_at(one.values for one in chosen)
    groups: dict[str, list[tuple[Evaluation, Architecture]]] = {}
    for one in chosen:
        try:
            architecture = translation.architecture(one.values)
        except InvalidArchitectureError as error:
            left_out.append(LeftOut(one.where, error.reason))
        else:
            groups.setdefault(found_space.canonical(architecture), []).append((one, architecture))
    left_out = sorted([*found.left_out, *left_out], key=lambda one: numbered(one.where))
    if not groups:
        raise NothingFitsError(called, found_space.name, left_out)
    trials = [_trial(found_space, group) for group in groups.values()]
    with RunDirectory(path) as directory:
        _refuse_used(path)
        result = _write(directory, found_space, Metric(found.signal, "", higher), called, trials, left_out)
    repeats = sum(map(len, groups.values())) - len(groups)
    return Imported(path, called, len(trials), result.failed, repeats, tuple(left_out), result)


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(source: Source, options: Mapping[str, Any]) -> tuple[str, Found]:
    """What a source is called, and what it holds."""
    if not isinstance(source, str | Path):
        if hasattr(source, "get_trials") and hasattr(source, "directions"):
            _unused(options, "an Optuna study", "value")
            study: Any = source
            return f"the Optuna study {study.study_name!r}", read_study(study, options["value"])
        if isinstance(source, Mapping) or not isinstance(source, Iterable):
            raise ConfigError("source", source, "is no path, no Optuna study and no rows (a list of mappings)")
        _unused(options, "rows", "value", "cost")
        rows: Any = source
        return "rows", read_rows(rows, options["value"], options["cost"])
    path = Path(str(source).removeprefix("sqlite:///")).expanduser()
    if "://" in str(source).removeprefix("sqlite:///"):
        raise ConfigError("source", source, "is no file; from Python, give the study: optuna.load_study(…)")
    if not path.exists():
        raise ImportFileError(path, "is not there")
    if path.is_dir():
        if not is_neps(path):
            raise ImportFileError(path, "is a folder, but none of NePS; there is no configs/config_…/config.yaml")
        _unused(options, "a NePS directory", "value", "categories")
        return path.name, read_neps(path, options["value"], options["categories"])
    if is_sqlite(path) or is_journal(path):
        _unused(options, "an Optuna study", "value", "study")
        return path.name, read_study_file(path, options["study"], options["value"])
    readers = {".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet, ".pq": read_parquet}
    if path.suffix.lower() not in readers:
        known = "a SQLite or journal file of Optuna, a folder of NePS, a .csv or a .parquet file"
        raise ImportFileError(path, f"is none of what can be imported: {known}")
    _unused(options, "a table", "value", "cost")
    return path.name, readers[path.suffix.lower()](path, options["value"], options["cost"])


def _unused(options: Mapping[str, Any], what: str, *used: str) -> None:
    for name, given in options.items():
        if given and name not in used:
            raise ConfigError(name, given, f"means nothing for {what}")


def _direction(called: str, found: Found, maximize: bool | None) -> bool:
    if found.maximize is None:
        if maximize is None:
            raise ConfigError("maximize", "", f"must be given: {called} does not say whether a higher value is better")
        return maximize
    if maximize is not None and maximize != found.maximize:
        said = "higher" if found.maximize else "lower"
        raise ConfigError("maximize", maximize, f"contradicts {called}, in which a {said} value is better")
    return found.maximize


def _chosen(found: Found, where: Mapping[str, Any]) -> tuple[list[Evaluation], list[LeftOut]]:
    """The evaluations that have certain values, and the others."""
    chosen: list[Evaluation] = []
    others: list[LeftOut] = []
    for one in found.evaluations:
        told = {**one.attributes, **one.values}
        other = next((name for name, wanted in where.items() if not _equal(told.get(name), wanted)), None)
        if other is None:
            chosen.append(one)
        else:
            others.append(LeftOut(one.where, f"its {other} is {told.get(other)}, not {where[other]}"))
    return chosen, others


def _equal(given: Any, wanted: Any) -> bool:
    one, other = number_of(given), number_of(wanted)
    return str(given) == str(wanted) if one is None or other is None else one == other


# -- writing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Trial:
    architecture: str
    origin: str
    value: float | None
    failure: str | None
    cost_s: float
    values: int


def _trial(space: DeclaredSpace, group: Sequence[tuple[Evaluation, Architecture]]) -> _Trial:
    """One trial of all evaluations of a configuration."""
    first, architecture = group[0]
    values = [one.value for one, _ in group if one.value is not None]
    return _Trial(
        space.to_string(architecture),
        first.where,
        fmean(values) if values else None,
        None if values else first.failure,
        sum(one.cost_s for one, _ in group),
        len(values),
    )


def _events(trials: Sequence[_Trial], reason: str) -> Iterable[Event]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    yield {"event": "start", "schema": SCHEMA, "version": __version__, "time": now}
    clock = 0.0
    for number, trial in enumerate(trials):
        common = {"number": number, "architecture": trial.architecture}
        yield {
            "event": "ask",
            **common,
            "origin": trial.origin,
            "seed": 0,
            "group": [number, 1],
            "clock_s": clock,
        }
        clock += trial.cost_s
        times = {"cost_s": trial.cost_s, "clock_s": clock, "objective_s": trial.cost_s, "elapsed_s": clock}
        if trial.value is None:
            yield {"event": "fail", **common, "reason": (trial.failure or "it failed")[:_REASON], **times}
        else:
            repeats = {"values_averaged": float(trial.values)} if trial.values > 1 else {}
            yield {"event": "tell", **common, "metrics": {"validation": trial.value, **repeats}, **times}
    yield {"event": "end", "reason": reason, "elapsed_s": clock}


def _write(
    directory: RunDirectory,
    space: DeclaredSpace,
    metric: Metric,
    source: str,
    trials: Sequence[_Trial],
    left_out: Sequence[LeftOut],
) -> Result:
    config = search_config(
        {
            "benchmark": f"{space.name}/{IMPORTED}",
            "space": space.declaration(),
            "method": {"name": IMPORTED},
            "budget": {"max_evaluations": len(trials)},
        }
    )
    protocol = {
        "space": space.name,
        "dataset": "the caller's",
        "source": f"imported from {source}",
        "runs": "1 each; of repeated evaluations the mean",
        "metric": metric.name,
        "unit": metric.unit,
        "direction": "maximize" if metric.maximize else "minimize",
        IMPORTED: True,
    }
    reason = f"imported from {source}"
    best = max if metric.maximize else min
    values = [trial for trial in trials if trial.value is not None]
    incumbent = best(values, key=lambda trial: trial.value or 0.0, default=None)
    seconds = sum(trial.cost_s for trial in trials)
    result = Result(
        benchmark=config.benchmark,
        method=IMPORTED,
        seed=config.seed,
        feedback=None,
        evaluations=len(trials),
        failed=len(trials) - len(values),
        incumbent=None if incumbent is None else incumbent.architecture,
        validation=None if incumbent is None else incumbent.value,
        test=None,
        optimum_validation=None,
        optimum_test=None,
        test_of_optimum_validation=None,
        best_test_queried=None,
        regret_validation=None,
        regret_test=None,
        cost_s=seconds,
        clock_s=seconds,
        wall_s=seconds,
        overhead_s=0.0,
        ended=reason,
        directory=str(directory.path),
    )
    if left_out:
        directory.write_left_out(map(asdict, left_out))
    directory.write_config(config, protocol, {"validation": None, "test": None})
    with Journal(directory.journal) as journal:
        journal.append(_events(trials, reason))
    directory.write_summary(result.to_dict())
    return result


def _refuse_used(out: Path) -> None:
    if holds_run(out):
        raise RunDirectoryError(out, "holds a run already; choose another directory")
