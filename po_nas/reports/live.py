"""Runs as they are now: followed from their files alone, while another process writes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from po_nas.errors import PoNasError, RunDirectoryError
from po_nas.reports.run import RunData, TrialData, read_run
from po_nas.runtime.run_directory import holds_run, running

__all__ = ["FollowedRun", "LiveState", "RunFollower", "find_runs"]

_DEPTH = 3
"""Folders below one that holds no run in which runs are looked for."""
_RECENT = 10
"""Evaluations by which the time left is estimated."""

_Version = tuple[tuple[int, int] | None, ...]


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The run directories among these paths and, where one holds no run itself, below it.

    A run that has begun has a ``config.yaml``. Raises `RunDirectoryError` for a path that is no folder.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise RunDirectoryError(path, f"{what}; give a run directory, or a folder with some")
        found.update(dict.fromkeys(_below(path, _DEPTH)))
    return list(found)


def _below(path: Path, depth: int) -> Iterator[Path]:
    if holds_run(path):
        if (path / "config.yaml").exists():
            yield path
    elif depth:
        try:
            folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.is_symlink())
        except OSError:
            return
        for child in folders:
            yield from _below(child, depth - 1)


@dataclass(frozen=True)
class LiveState:
    """Where a run stands.

    Attributes:
        name: As it is listed.
        run: What is on disk.
        state: ``running``, ``ended``, or ``stopped``: neither over nor worked on.
        said: Who runs it, why it ended, or how to go on.
        elapsed_s: Real seconds of the run, up to now while it is running.
        eta_s: Real seconds that the evaluations left will take, by the last ones; None where that cannot be said.
    """

    name: str
    run: RunData
    state: str
    said: str
    elapsed_s: float
    eta_s: float | None

    def to_json(self, points: int = 1_000) -> dict[str, Any]:
        """What a page shows; of more evaluations than `points`, those that are drawn are thinned evenly."""
        run, told, best = self.run, self.run.told, self.run.incumbent()
        curve = run.incumbents()
        chosen = range(0, len(told), max(1, -(-len(told) // points)))
        kept = sorted({*chosen, len(told) - 1} if told else ())
        return {
            "name": self.name,
            "state": self.state,
            "said": self.said,
            "benchmark": run.config["benchmark"],
            "method": run.config["method"]["name"],
            "seed": run.config["seed"],
            "metric": str(run.protocol.get("metric", "validation")),
            "unit": run.unit,
            "maximize": run.maximize,
            "limit": run.config["budget"].get("max_evaluations"),
            "evaluations": len(told),
            "full_evaluations": run.full_evaluations if run.fidelities else None,
            "failed": sum(trial.reason is not None for trial in told),
            "pending": sum(not trial.finished for trial in run.trials),
            "best": None if best is None else _row(best),
            "regret": run.regret(None if best is None else best.validation),
            "optimum": run.optimum.get("validation"),
            "front": len(run.front()) if run.front_measure.goals.several else None,
            "elapsed_s": self.elapsed_s,
            "eta_s": self.eta_s,
            "curve": [[told[k].evaluation, told[k].validation, curve[k]] for k in kept],
            "last": [_row(trial) for trial in reversed(told[-5:])],
            "failures": [[reason, len(evaluations)] for reason, evaluations in run.failures().items()][:5],
        }


def _row(trial: TrialData) -> dict[str, Any]:
    return {
        "evaluation": trial.evaluation,
        "validation": trial.validation,
        "test": trial.test,
        "seconds": trial.seconds,
        "origin": trial.origin,
        "reason": trial.reason,
        "architecture": trial.architecture,
    }


@dataclass
class FollowedRun:
    """A run that is read again when its files have changed. No code of its plug-ins is run.

    Attributes:
        directory: Where it is.
        name: As it is listed.
    """

    directory: Path
    name: str
    _version: _Version | None = field(default=None, repr=False)
    _run: RunData | PoNasError | None = field(default=None, repr=False)

    def version(self) -> _Version:
        """Sizes and times of the files that a run is read from; two that are equal mean the same run."""
        return tuple(map(_stamp, (self.directory / name for name in ("config.yaml", "journal.jsonl", "summary.json"))))

    def read(self) -> RunData:
        """What is on disk; raises what `read_run` raises."""
        version = self.version()
        if self._run is None or version != self._version:
            try:
                self._run = read_run(self.directory)
            except PoNasError as error:
                self._run = error
            self._version = version
        if isinstance(self._run, PoNasError):
            raise self._run
        return self._run

    def now(self) -> LiveState:
        """Where the run stands; raises what `read_run` raises."""
        holder = running(self.directory)
        run = self.read()
        told = run.told
        elapsed = max((trial.elapsed_s or 0.0 for trial in told), default=0.0)
        if run.ended is not None:
            whole = elapsed if run.summary is None else float(run.summary["wall_s"])
            return LiveState(self.name, run, "ended", run.ended, whole, None)
        if holder is None:
            return LiveState(self.name, run, "stopped", f"go on with: {run.way_on}", elapsed, None)
        stamp = _stamp(self.directory / "journal.jsonl")
        since = 0.0 if stamp is None else max(0.0, time.time() - stamp[1] / 1e9)
        return LiveState(self.name, run, "running", holder, elapsed + since, _left(run, told, since))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _left(run: RunData, told: Sequence[TrialData], since: float) -> float | None:
    """What the evaluations that are left will take, by the time between the last ones."""
    limit: int | None = run.config["budget"].get("max_evaluations")
    recent = told[-_RECENT - 1 :]
    if limit is None or len(recent) < 2:
        return None
    first, last = (trial.elapsed_s for trial in (recent[0], recent[-1]))
    if first is None or last is None:
        return None
    # A budget counts full evaluations.
    each = (last - first) / sum(trial.share for trial in recent[1:])
    return max(0.0, each * (limit - run.full_evaluations) - since)


class RunFollower:
    """The runs of some folders, those that begin later included.

    Args:
        paths: Run directories, and folders with some.

    Raises:
        RunDirectoryError: For a path that is no folder.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(path.absolute() for path in paths)
        self._runs: dict[Path, FollowedRun] = {}
        self.look()

    def look(self) -> list[FollowedRun]:
        """The runs there are now; one that was seen before keeps its place, and one that is gone leaves none."""
        paths = (path for path in self._paths if path.is_dir()) if self._runs else self._paths
        found = dict.fromkeys(find_runs(paths))
        for directory in found:
            if directory not in self._runs:
                self._runs[directory] = FollowedRun(directory, self._name(directory))
        return [run for directory, run in self._runs.items() if directory in found]

    def _name(self, directory: Path) -> str:
        """The shortest path that tells it from the others."""
        for root in self._paths:
            if directory != root and directory.is_relative_to(root):
                return str(directory.relative_to(root))
        same = [path for path in self._paths if path.name == directory.name]
        return directory.name if len(same) == 1 else str(directory)
