"""Evaluations from the root directory of a NePS run.

NePS keeps a folder for each configuration, ``configs/config_…`` (before version 0.12: ``results/config_…``), with
``config.yaml`` (values by name) and, once it is evaluated, ``report.yaml`` (before: ``result.yaml``). The format was
read off the documentation and off directories that versions 0.11 to 0.17 wrote.

Newer versions (`neps.PipelineSpace`) write ``SAMPLING__Resolvable.lr::float__0.0001_0.1_True`` for a choice ``lr``, and
of a categorical one the number of its value alone; the values are in a pickle, which is not opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from po_nas.core.settings import read_yaml
from po_nas.errors import ConfigError
from po_nas.runtime.imports.evaluations import Evaluation, Found, ImportFileError, LeftOut, numbered, seconds_of, told

__all__ = ["is_neps", "read_neps"]

_FOLDERS = ("configs", "results")
_SAMPLED = re.compile(r"SAMPLING__(?:Resolvable\.)?(?P<name>.+?)::(?P<kind>[a-z_]+?)__(?P<domain>.*)")
_ENVIRONMENT = "ENVIRONMENT__"
_SIGNALS = ("objective_to_minimize", "loss")


def is_neps(path: Path) -> bool:
    """Whether a folder is the root directory of a NePS run."""
    return any(next((path / folder).glob("config_*/config.yaml"), None) is not None for folder in _FOLDERS)


def read_neps(path: Path, value: str | None, categories: Mapping[str, Sequence[Any]]) -> Found:
    """The configurations in a root directory, in the order of their numbers.

    Args:
        path: The root directory.
        value: Which number of ``info_dict`` is the search signal; default: what NePS minimises.
        categories: For choices of which NePS writes the numbers of values: their values, in the order of its space.

    Evaluations of a part of a training (a fidelity below its upper bound, where the directory says which that is) are
    left out, and so are those that are not over. Raises `ImportFileError` for a folder without configurations, and
    `ConfigError` for numbers of values without `categories`.
    """
    folders = [f for name in _FOLDERS for f in (path / name).glob("config_*") if (f / "config.yaml").is_file()]
    if not folders:
        raise ImportFileError(path, "is no directory of NePS; there is no configs/config_…/config.yaml")
    fidelity, whole = _fidelity(path)

    def evaluation(folder: Path) -> Evaluation | LeftOut:
        where = folder.name
        try:
            config, report = _read(folder / "config.yaml"), _report(folder)
        except ConfigError as error:
            return LeftOut(where, f"it cannot be read ({error})")
        reached = None if fidelity is None else config.pop(fidelity, None)
        if reached is not None and reached != whole:
            name = str(fidelity).removeprefix(_ENVIRONMENT)
            return LeftOut(where, f"it was evaluated at {name}={reached} of {whole}, which is a part")
        return _evaluation(where, _values(config, categories), report, value)

    found = map(evaluation, sorted(folders, key=lambda folder: numbered(folder.name)))
    return Found.of(found, False if value is None else None, value or _SIGNALS[0])


def _read(file: Path) -> dict[str, Any]:
    found = read_yaml(file, file.name)
    if not isinstance(found, dict):
        raise ConfigError(file.name, found, "is no mapping")
    return {str(key): item for key, item in found.items()}


def _report(folder: Path) -> Any:
    """What came of a configuration; None where it is not over."""
    for name in ("report.yaml", "result.yaml"):
        if (folder / name).is_file():
            return read_yaml(folder / name, name)
    return None


def _fidelity(path: Path) -> tuple[str | None, Any]:
    """The name of the fidelity and the value that is a whole training, where the directory tells."""
    try:
        info = _read(path / "optimizer_info.yaml")
    except ConfigError:
        return None, None
    derived = info.get("derived")
    found = derived.get("fidelity") if isinstance(derived, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("name"), str) or "upper" not in found:
        return None, None
    return found["name"], found["upper"]


def _values(config: Mapping[str, Any], categories: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Values by the names of choices."""
    found: dict[str, Any] = {}
    for key, item in config.items():
        match = _SAMPLED.fullmatch(key)
        name = match["name"] if match else key.removeprefix(_ENVIRONMENT)
        if match and match["kind"] == "categorical":
            known = categories.get(name)
            if known is None or len(known) != int(match["domain"] or 0):
                said = "" if known is None else f", not {len(known)}"
                remedy = f"has {match['domain']} values{said}, of which NePS writes the numbers; give them in its order"
                raise ConfigError(f"categories.{name}", "", remedy)
            item = known[item] if isinstance(item, int) and 0 <= item < len(known) else item
        found[name] = item
    return found


def _evaluation(where: str, values: Mapping[str, Any], report: Any, value: str | None) -> Evaluation | LeftOut:
    if report is None:
        return LeftOut(where, "it is not over")
    if report == "error":
        # So wrote versions before 0.12.
        return Evaluation(where, values, None, "it failed in NePS")
    if not isinstance(report, dict):
        return LeftOut(where, "its report is no mapping")
    extra: Mapping[str, Any] = next(
        (report[key] for key in ("extra", "info_dict") if isinstance(report.get(key), dict)), {}
    )
    cost = report.get("evaluation_duration") or report.get("cost")
    if report.get("reported_as", "success") != "success":
        return Evaluation(where, values, None, str(report.get("err") or "it failed in NePS"), seconds_of(cost), extra)
    name = value or next((key for key in _SIGNALS if key in report), _SIGNALS[0])
    given = report.get(name) if value is None else extra.get(name, report.get(name))
    if isinstance(given, list) and value is None:
        return LeftOut(where, "it has several values; name the one that is meant")
    return told(where, values, given, cost, extra)
