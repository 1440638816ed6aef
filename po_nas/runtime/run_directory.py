"""The directory of a run: who holds it, its configuration, journal, artifacts and summary."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import psutil
import yaml
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from po_nas.core.settings import read_yaml, validated
from po_nas.errors import ConfigError, RunDirectoryError, RunLockedError
from po_nas.files import replace_file
from po_nas.runtime.config import SearchConfig, recorded_search, search_config
from po_nas.runtime.journal import cut_journal
from po_nas.runtime.resumption import Resumption

__all__ = [
    "IMPORTED",
    "Record",
    "Result",
    "RunDirectory",
    "check_searched",
    "holds_run",
    "read_config",
    "read_explanation",
    "read_record",
    "read_report_values",
    "read_summary",
    "read_warm_start",
    "repair",
    "running",
    "traceback_file",
    "versions",
]

_log = logging.getLogger(__name__)

IMPORTED = "imported"
"""The method of a run whose evaluations were made elsewhere, and the entry of its protocol that says so."""
_EXPLANATION = Path("artifacts") / "explanation.json"
_REPORT_VALUES = Path("artifacts") / "report_values.json"
_WARM_START = Path("artifacts") / "warm_start.json"
_LEFT_OUT = Path("artifacts") / "left_out.jsonl"
_HOLDER = re.compile(r"process (?P<pid>\d+) on (?P<host>\S+) since (?P<since>\S+)")
_CLOCK_S = 60.0
"""How far the time at which a process began may be off, where the clock of the machine was set meanwhile."""
_VERSIONS = ("po-nas", "torch", "gpytorch", "botorch", "pymoo", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a search; ``summary.json`` holds the same fields.

    Values are in the unit of the metric; what is unknown is None.

    Attributes:
        benchmark: Name of the benchmark or objective.
        method: Name of the method.
        seed: Of the search.
        feedback: The preset of what the method was told.
        evaluations: Trials that were evaluated, failed ones included.
        failed: How many of them failed.
        incumbent: The best architecture by validation, as a string; None when every trial failed.
        validation: Its search signal.
        test: Its report metric, attached after the search.
        optimum_validation: Best search signal of the table.
        optimum_test: Best report metric of the table.
        test_of_optimum_validation: The report metric of the architecture that is best by validation.
        best_test_queried: The best test value among all that were evaluated. A search that sees validation alone
            cannot pick it; some papers print it, so it is here under its own name.
        regret_validation: Distance of `validation` from `optimum_validation`.
        regret_test: Distance of `test` from `optimum_test`.
        cost_s: Seconds of the objective itself, recorded or measured.
        clock_s: Seconds on the clock of the executor, which may be a virtual one.
        wall_s: Real seconds from the call on, with what it takes to load tables and models.
        overhead_s: Real seconds not spent in the objective; with several workers those for which each of them was idle
            on average.
        ended: Why the search ended.
        directory: The run directory.
        scores_computed: Proxy scores that were computed; recorded ones are not counted.
        scores_kept: Proxy scores that were found on disk.
        scoring_s: Real seconds that the search waited for proxy scores.
        infeasible: Trials beyond a limit; they are on no front and no incumbent.
        front: With several objectives the trials that no other dominates: ``evaluation`` (its number, from 1 in the
            order of completion), ``architecture``, ``objectives`` (values by name) and ``test``; the `incumbent` first.
        hypervolume: Of the front, with respect to `reference_point`.
        hypervolume_true: Of the true front, where a table tells.
        reference_point: By objective.
        full_evaluations: Where fidelities were used, what the `evaluations` of all fidelities cost in full ones.
        at_full_fidelity: Where fidelities were used, how many of them were full ones; incumbent, front and test values
            are of these alone.

    Examples:
        >>> import po_nas
        >>> result = po_nas.search(benchmark="nasbench_graph/proteins", method="random", budget=3, out="runs/result")
        >>> result.evaluations, result.ended
        (3, 'budget spent: 3 evaluations')
        >>> result.regret_validation == result.optimum_validation - result.validation
        True
    """

    benchmark: str
    method: str
    seed: int
    feedback: str | None
    evaluations: int
    failed: int
    incumbent: str | None
    validation: float | None
    test: float | None
    optimum_validation: float | None
    optimum_test: float | None
    test_of_optimum_validation: float | None
    best_test_queried: float | None
    regret_validation: float | None
    regret_test: float | None
    cost_s: float
    clock_s: float
    wall_s: float
    overhead_s: float
    ended: str
    directory: str
    scores_computed: int = 0
    scores_kept: int = 0
    scoring_s: float = 0.0
    infeasible: int = 0
    front: list[dict[str, Any]] = field(default_factory=list)
    hypervolume: float | None = None
    hypervolume_true: float | None = None
    reference_point: dict[str, float] | None = None
    full_evaluations: float | None = None
    at_full_fidelity: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


_SUMMARY = TypeAdapter(Result)
_VALUES = TypeAdapter(dict[int, Annotated[float, Field(allow_inf_nan=False)]])


class RunDirectory:
    """A run directory held by this process.

    ``config.yaml`` is the resolved configuration with versions, ``journal.jsonl`` the events, ``artifacts/`` what
    trials left behind, ``report/`` what was made from it, ``summary.json`` the result. Entering the context takes the
    directory's lock; `RunLockedError` names the process that holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock", timeout=0)
        self._holder = path / ".lock.holder"

    @property
    def journal(self) -> Path:
        """Path of the journal."""
        return self.path / "journal.jsonl"

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise RunLockedError(self.path, _read_holder(self._holder)) from None
        except OSError as error:
            raise RunDirectoryError(self.path, f"cannot be used ({error.strerror})") from error
        started = datetime.now(UTC).isoformat(timespec="seconds")
        # Who holds the lock is told to others where the disk has room for it; the lock itself is the kernel's.
        with suppress(OSError):
            self._holder.write_text(
                f"process {os.getpid()} on {socket.gethostname()} since {started}", encoding="utf-8"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._holder.unlink(missing_ok=True)
        self._lock.release()

    def write_config(
        self,
        config: SearchConfig,
        protocol: Mapping[str, Any],
        optimum: Mapping[str, float | None],
        goals: Mapping[str, Any] | None = None,
        fidelities: Mapping[str, Any] | None = None,
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the resolved configuration, the protocol, the task's optima (for reports) and the versions in use.

        `goals` are the objectives and limits as reports read them, with the true front; `fidelities` those of the task
        where the method uses them; `resume` is how the run can be resumed, as `Record` has it.
        """
        record = {
            "search": config.model_dump(mode="json"),
            "protocol": dict(protocol),
            "optimum": dict(optimum),
            **({"goals": dict(goals)} if goals else {}),
            **({"fidelities": dict(fidelities)} if fidelities else {}),
            **({"resume": dict(resume)} if resume else {}),
            "versions": versions(_VERSIONS),
        }
        _write(self.path / "config.yaml", yaml.safe_dump(record, sort_keys=False, allow_unicode=True))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        _write(self.path / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")

    def write_explanation(self, explanation: Mapping[str, Any]) -> None:
        """Write ``artifacts/explanation.json``: what the method has learned."""
        _write(self.path / _EXPLANATION, json.dumps(explanation, indent=1, ensure_ascii=False) + "\n")

    def write_report_values(self, values: Mapping[int, float]) -> None:
        """Write ``artifacts/report_values.json``: the report metric by the number of the evaluation, from 1."""
        _write(self.path / _REPORT_VALUES, json.dumps({str(number): value for number, value in values.items()}) + "\n")

    def write_warm_start(self, text: str) -> None:
        """Write ``artifacts/warm_start.json``: what earlier runs had told when this one began."""
        _write(self.path / _WARM_START, text)

    def write_left_out(self, rows: Iterable[Mapping[str, str]]) -> Path:
        """Write ``artifacts/left_out.jsonl``: evaluations that were not imported, each with its reason."""
        _write(self.path / _LEFT_OUT, "".join(f"{json.dumps(dict(row))}\n" for row in rows))
        return self.path / _LEFT_OUT

    def save_details(self, number: int, text: str) -> None:
        """Keep the traceback of a failed evaluation under ``artifacts/``; `number` counts completed ones from 1."""
        folder = self.path / traceback_file(number).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (self.path / traceback_file(number)).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            _log.warning("%s: the traceback of evaluation %d was not kept (%s)", folder, number, error.strerror)


def traceback_file(number: int) -> Path:
    """Where a run directory keeps the traceback of the evaluation of this number, counted from 1 as completed."""
    return Path("artifacts") / f"evaluation-{number:06d}" / "error.txt"


def holds_run(path: Path) -> bool:
    """Whether a directory holds a run, or what is left of one."""
    return (path / "config.yaml").exists() or (path / "journal.jsonl").exists()


def check_searched(path: Path, record: Record) -> None:
    """Raise `RunDirectoryError` for a run whose evaluations were imported: there is no search to go on with."""
    if record.protocol.get(IMPORTED):
        remedy = f"start a search from it: warm_start=[{str(path)!r}], or po-nas search … warm_start={path}"
        raise RunDirectoryError(path, f"holds evaluations that were imported, and no search to go on with; {remedy}")


def repair(path: Path, lines: int) -> Path:
    """Go back to the first `lines` lines of a damaged journal; returns where the old one is kept.

    The old journal stays beside the new one as ``journal.damaged-1.jsonl`` (or the next free number). The summary goes,
    for it is computed again at the end of the search. Raises `JournalError` where one of the lines is damaged itself,
    and `RunDirectoryError` where there is no run or nothing can be written.
    """
    read_record(path)
    with RunDirectory(path) as directory:
        kept = cut_journal(directory.journal, lines)
        number = 1
        while (old := path / f"journal.damaged-{number}.jsonl").exists():
            number += 1
        try:
            os.link(directory.journal, old)
            replace_file(directory.journal, kept)
            (path / "summary.json").unlink(missing_ok=True)
        except OSError as error:
            raise RunDirectoryError(path, f"cannot be written ({error.strerror})") from error
    return old


def read_config(path: Path) -> SearchConfig:
    """The configuration of the run in `path`; `RunDirectoryError` when there is none."""
    return read_record(path).config


def read_explanation(path: Path) -> dict[str, Any] | None:
    """What the method of the run in `path` has learned, None where it says nothing or the file is damaged."""
    try:
        found = json.loads((path / _EXPLANATION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_report_values(path: Path) -> dict[int, float]:
    """What `write_report_values` wrote; nothing where the file is absent or damaged."""
    try:
        return _VALUES.validate_json((path / _REPORT_VALUES).read_bytes())
    except (OSError, ValidationError):
        return {}


def read_warm_start(path: Path) -> str:
    """What `write_warm_start` wrote; `RunDirectoryError` when it is gone."""
    try:
        return (path / _WARM_START).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunDirectoryError(path, f"its {_WARM_START} cannot be read ({error})") from error


def read_summary(path: Path) -> Result | None:
    """The summary of the run in `path`, None while it is not finished or when the file is damaged or incomplete.

    Everything in it can be computed again from the journal, and `resume` does.
    """
    try:
        return _SUMMARY.validate_json((path / "summary.json").read_bytes(), strict=True)
    except (OSError, ValidationError):
        return None


class Record(BaseModel):
    """What ``config.yaml`` holds: the resolved configuration, the protocol, the task's optima, versions in use.

    Where there are objectives or limits, `goals` has them, and the true front; `fidelities` those that are used.
    `resume` is how the run can be resumed: ``by`` is the function that does it in Python, ``arguments`` those that it
    must be given besides the directory; None in runs of version 0.1.
    """

    model_config = ConfigDict(frozen=True)

    search: dict[str, Any]
    protocol: dict[str, Any] = {}
    optimum: dict[str, float | None] = {}
    goals: dict[str, Any] = {}
    fidelities: dict[str, Any] = {}
    resume: Resumption | None = None
    versions: dict[str, str] = {}

    @cached_property
    def config(self) -> SearchConfig:
        """The configuration, checked; `ConfigError`."""
        return search_config(recorded_search(self.search))

    @property
    def formulas(self) -> Mapping[str, str]:
        """Those of `resume`."""
        return self.resume.formulas if self.resume else {}


def read_record(path: Path) -> Record:
    """The whole of ``config.yaml``; `RunDirectoryError` when there is none, or none that po-nas wrote."""
    file = path / "config.yaml"
    if not file.exists():
        raise RunDirectoryError(path, "holds no run (no config.yaml); start one with: po-nas search … --out DIR")
    try:
        content = read_yaml(file, "config.yaml")
        record = validated(Record, content if isinstance(content, dict) else {})
        record.config  # noqa: B018 - checked here, so that nobody reads half a configuration
    except ConfigError as error:
        raise RunDirectoryError(path, f"its config.yaml cannot be read ({error})") from error
    return record


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def running(path: Path) -> str | None:
    """Which process works on the run in `path` now, in words; None where none does.

    What is said to run on another machine is taken at its word.
    """
    holder = _read_holder(path / ".lock.holder")
    match = _HOLDER.fullmatch(holder)
    if match is None:
        return None
    if match["host"] != socket.gethostname():
        return holder
    try:
        # A process that began after the lock was taken has got the number of one that was killed.
        since = datetime.fromisoformat(match["since"]).timestamp()
        return holder if psutil.Process(int(match["pid"])).create_time() <= since + _CLOCK_S else None
    except (psutil.Error, ValueError):
        return None


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return "unknown process"


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise RunDirectoryError(path, f"cannot be written ({error.strerror})") from error
