"""Runs that are over as a start of a search: evaluations of the same task, and of others."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from po_nas.core.goals import SIGNAL
from po_nas.core.objective import Objective, Outcome
from po_nas.core.searcher import Searcher
from po_nas.core.trial import SourceTask
from po_nas.errors import ConfigError, InvalidArchitectureError, RunDirectoryError
from po_nas.runtime.journal import read_journal
from po_nas.runtime.run_directory import IMPORTED, read_record
from po_nas.spaces.base import Space

__all__ = ["WarmStart", "from_json", "gather", "source_tasks", "tell", "to_json"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """What one run has told: `told` are architectures as strings and their search signals, None for failures.

    `same` says that the task and its protocol are those of the search that is started. `metrics` are the further
    metrics of each of those that were told; a record of before there were any has none.
    """

    task: str
    same: bool
    maximize: bool
    told: tuple[tuple[str, float | None], ...]
    metrics: tuple[Mapping[str, float], ...] = ()


def gather(paths: Sequence[str], space: Space, protocol: Mapping[str, Any]) -> tuple[WarmStart, ...]:
    """What the runs in these directories have told of full evaluations; finished or not.

    `protocol` is that of the search to start. Evaluations that were imported are of its task, for that is what they are
    handed over as. Those that are not in `space` (it was edited since, or has bounds) are left out, with a line in the
    log. Raises `RunDirectoryError` for what is no run or has told nothing yet, `JournalError` for a damaged one, and
    `ConfigError` for a run in another space, and for imported evaluations of the other direction.
    """
    found: list[WarmStart] = []
    for path in map(Path, paths):
        record = read_record(path)
        theirs = record.protocol
        if theirs.get("space") != space.name:
            raise ConfigError("warm_start", path, f"searched {theirs.get('space')}, this search is in {space.name}")
        imported = bool(theirs.get(IMPORTED))
        if imported and theirs.get("direction") != protocol.get("direction"):
            remedy = f"was imported to {theirs.get('direction')}, this search is to {protocol.get('direction')}"
            raise ConfigError("warm_start", path, remedy)
        told, metrics = _inside(path, *_told(path), space)
        if sum(value is not None for _, value in told) < 2:
            raise RunDirectoryError(
                path, "has told fewer than two evaluations of this space; there is nothing to start from"
            )
        task = record.config.benchmark
        same = imported or _current(theirs) == _current(protocol)
        if not same and any(task == other.task and not other.same for other in found):
            raise ConfigError("warm_start", path, f"is the second run on {task}; give one run of each other task")
        found.append(WarmStart(task, same, theirs.get("direction") != "minimize", told, metrics))
    return tuple(found)


def _current(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """What tells one task from another in a protocol, in the names of this version: not what its best is sought for."""
    kept = {name: value for name, value in protocol.items() if name not in ("objectives", "constraints")}
    return {"proxies" if name == "metrics" else name: value for name, value in kept.items()}


_Told = tuple[tuple[str, float | None], ...]
_Metrics = tuple[Mapping[str, float], ...]


def _told(path: Path) -> tuple[_Told, _Metrics]:
    asked: dict[int, str] = {}
    told: list[tuple[str, float | None]] = []
    metrics: list[Mapping[str, float]] = []
    for event in read_journal(path / "journal.jsonl").events:
        if event["event"] == "ask" and event.get("fidelity") is None:
            asked[event["number"]] = event["architecture"]
        elif event["event"] in {"tell", "fail"} and event["number"] in asked:
            others = dict(event.get("metrics", {}))
            value = others.pop(SIGNAL, None)
            told.append((asked[event["number"]], None if value is None else float(value)))
            metrics.append(others)
    return tuple(told), tuple(metrics)


def _inside(path: Path, told: _Told, metrics: _Metrics, space: Space) -> tuple[_Told, _Metrics]:
    """What was told of architectures of the space."""
    found, reason = [], ""
    for place, (text, _) in enumerate(told):
        try:
            space.from_string(text)
        except InvalidArchitectureError as error:
            reason = reason or str(error)
        else:
            found.append(place)
    if reason:
        _log.warning("%s: %d of %d evaluations are left out; %s", path, len(told) - len(found), len(told), reason)
    return tuple(told[place] for place in found), tuple(metrics[place] for place in found)


def source_tasks(runs: Sequence[WarmStart], space: Space) -> tuple[SourceTask, ...]:
    """The evaluations of other tasks, as a method is told them."""
    found = []
    for run in runs:
        if not run.same:
            sign = 1.0 if run.maximize else -1.0
            known = [(space.from_string(text), sign * value) for text, value in run.told if value is not None]
            architectures, scores = zip(*known, strict=True)
            found.append(SourceTask(run.task, architectures, scores))
    return tuple(found)


def tell(runs: Sequence[WarmStart], searcher: Searcher, objective: Objective) -> None:
    """Tell a new searcher the evaluations of its own task; they are not counted, and not proposed again.

    What is known of the architectures without an evaluation is added. Those that lack another metric that the search
    has as an objective or limits are left out, with a line in the log.
    """
    lacking = ""
    for run in runs:
        metrics = run.metrics or ({},) * len(run.told)
        for (text, value), others in zip(run.told, metrics, strict=True) if run.same else ():
            architecture = searcher.domain.space.from_string(text)
            if searcher.is_seen(architecture):
                continue
            outcome = Outcome.failed("it failed in an earlier run", 0.0)
            if value is not None:
                wanted = objective.goals.measured_names
                kept = {name: number for name, number in others.items() if name in wanted}
                outcome = objective.completed(architecture, Outcome.ok(value, 0.0, **kept))
                if outcome.failure is not None:
                    lacking = outcome.failure
                    continue
            searcher.tell_custom(architecture, outcome)
    if lacking:
        _log.warning("evaluations of an earlier run are left out: %s", lacking)


def to_json(runs: Sequence[WarmStart]) -> str:
    """All of it as text, so that a resumed search starts from the same however the other runs have gone on."""
    return json.dumps([asdict(run) for run in runs], indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> tuple[WarmStart, ...]:
    """What `to_json` wrote."""
    rows = json.loads(text)
    return tuple(
        WarmStart(**{**row, "told": tuple((a, v) for a, v in row["told"]), "metrics": tuple(row.get("metrics", ()))})
        for row in rows
    )
