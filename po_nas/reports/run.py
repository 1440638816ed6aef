"""A run as its directory tells it: configuration, protocol, trials, summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from po_nas.runtime.journal import read_journal
from po_nas.runtime.loop import scored_of
from po_nas.runtime.run_directory import read_explanation, read_record, read_summary
from po_nas.runtime.scoring import Scored
from po_nas.runtime.trusted_plugins import Trust, load_named

__all__ = ["RunData", "TrialData", "load_run"]


class _TrustRow(BaseModel):
    label: str
    architectures: int = Field(ge=0)
    weights: list[Annotated[float, Field(allow_inf_nan=False)]]


class _Redundant(BaseModel):
    proxies: Annotated[list[str], Field(min_length=2, max_length=2)]
    spearman: float = Field(ge=-1, le=1)


class _Trust(BaseModel):
    """What a method writes to its explanation: a weight of each proxy for the incumbent and for clusters."""

    model_config = ConfigDict(strict=True, extra="allow")

    # Version 0.1 called them metrics.
    proxies: list[str] = Field(min_length=1, validation_alias=AliasChoices("proxies", "metrics"))
    rows: list[_TrustRow] = Field(min_length=1)
    believed: float | None = Field(None, ge=0, le=1)
    source: str = ""
    redundant: list[_Redundant] = []

    @model_validator(mode="after")
    def _aligned(self) -> _Trust:
        if any(len(row.weights) != len(self.proxies) for row in self.rows):
            raise ValueError("a row has another number of weights than there are proxies")
        return self


@dataclass(frozen=True, slots=True)
class TrialData:
    """One trial: what was asked, and what came of it (None while pending).

    `reason` is set for a failure; `completed` counts completions in the order of the journal.
    """

    number: int
    architecture: str
    origin: str
    ask_s: float
    validation: float | None = None
    cost_s: float | None = None
    clock_s: float | None = None
    elapsed_s: float | None = None
    reason: str | None = None
    completed: int | None = None

    @property
    def finished(self) -> bool:
        """Whether an outcome is on record."""
        return self.cost_s is not None


@dataclass(frozen=True)
class RunData:
    """A run directory, read."""

    directory: Path
    config: Mapping[str, Any]
    protocol: Mapping[str, Any]
    optimum: Mapping[str, Any]
    versions: Mapping[str, str]
    trials: tuple[TrialData, ...]
    summary: Mapping[str, Any] | None
    ended: str | None
    scored: Scored = field(default_factory=Scored)
    """What was spent on proxy scores up to the last trial that was asked for."""

    def trust(self) -> Mapping[str, Any] | None:
        """The weights of proxies that the method came to, None where it has none or they are damaged."""
        try:
            return _Trust.model_validate((read_explanation(self.directory) or {}).get("trust")).model_dump()
        except ValidationError:
            return None

    @property
    def told(self) -> list[TrialData]:
        """Finished trials in the order of their completion."""
        return sorted((t for t in self.trials if t.finished), key=lambda t: (t.completed or 0, t.number))

    @property
    def maximize(self) -> bool:
        """Whether higher validation is better."""
        return bool(self.protocol.get("direction", "maximize") == "maximize")

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        return str(self.protocol.get("unit", ""))

    @property
    def report_label(self) -> str:
        """What to call the report metric: ``test``, or ``report`` where it is no test metric."""
        described = str(self.protocol.get("report", "test")).lower()
        return "test" if "test" in described or described.startswith("unknown") else "report"

    def incumbents(self) -> list[float | None]:
        """Best validation after each finished trial, in the order of completion; None before the first success."""
        best = max if self.maximize else min
        told = (trial.validation for trial in self.told)
        return list(accumulate(told, lambda *two: best((value for value in two if value is not None), default=None)))

    def incumbent(self) -> TrialData | None:
        """The best finished trial by validation; the earliest of equals."""
        succeeded = (trial for trial in self.told if trial.validation is not None)
        return (max if self.maximize else min)(succeeded, key=attrgetter("validation"), default=None)

    def failures(self) -> list[tuple[str, int]]:
        """Reasons of failed evaluations and how many failed for each, the most frequent first."""
        return Counter(trial.reason for trial in self.told if trial.reason is not None).most_common()

    def regret(self, validation: float | None) -> float | None:
        """Simple regret against the optimum of the task; None where either is unknown."""
        optimum = self.optimum.get("validation")
        if optimum is None or validation is None:
            return None
        return float(optimum - validation if self.maximize else validation - optimum)

    def winner(self) -> dict[str, Any] | None:
        """The incumbent as JSON: space, string, code, and where it comes from; None without a success."""
        trial = self.incumbent()
        if trial is None:
            return None
        from po_nas import spaces

        space = self.protocol.get("space")
        record: dict[str, Any] = {"string": trial.architecture}
        if space is not None and space in spaces.registry:
            found = spaces.get(space)
            record = found.to_json(found.from_string(trial.architecture)) | record
        return record | {
            "benchmark": self.config["benchmark"],
            "method": self.config["method"]["name"],
            "seed": self.config["seed"],
            "trial": trial.number,
            "validation": trial.validation,
            "test": None if self.summary is None else self.summary["test"],
        }


def load_run(directory: Path, trust: Trust = False) -> RunData:
    """Read a run directory, finished or not.

    The run's plug-ins are imported, for its space may come from one; `trust` imports those, too, that are not known
    here. Raises `RunDirectoryError` when it holds no run, `JournalError` when its journal is damaged, `PluginError`
    when a plug-in is gone and `UntrustedPluginError` when one is not trusted.
    """
    record = read_record(directory)
    load_named(record.config.plugins, directory / "config.yaml", trust)
    path = directory / "journal.jsonl"
    events = read_journal(path).events if path.exists() else ()
    summary = read_summary(directory)
    asked: dict[int, dict[str, Any]] = {}
    ended, scored = None, Scored()
    for completed, event in enumerate(events):
        if event["event"] == "ask":
            asked[event["number"]] = {k: event[k] for k in ("number", "architecture", "origin")}
            asked[event["number"]]["ask_s"] = event.get("ask_s", 0.0)
            scored += scored_of(event)
        elif event["event"] in {"tell", "fail"}:
            asked[event["number"]] |= {
                "validation": event.get("metrics", {}).get("validation"),
                "reason": event.get("reason"),
                "cost_s": event["cost_s"],
                **{k: event.get(k) for k in ("clock_s", "elapsed_s")},
                "completed": completed,
            }
        elif event["event"] == "end":
            ended = str(event["reason"])
    return RunData(
        directory=directory,
        config=record.config.model_dump(mode="json"),
        protocol=record.protocol,
        optimum=record.optimum,
        versions=record.versions,
        trials=tuple(TrialData(**fields) for fields in asked.values()),
        summary=None if summary is None else summary.to_dict(),
        ended=ended,
        scored=scored,
    )
