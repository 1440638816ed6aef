"""A run as its directory tells it: configuration, protocol, trials, summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from po_nas.core.fidelities import Fidelities
from po_nas.core.goals import Goals
from po_nas.errors import RunDirectoryError, described
from po_nas.evolution.front import front_of, hypervolume
from po_nas.runtime.front import FrontMeasure
from po_nas.runtime.journal import read_journal
from po_nas.runtime.loop import scored_of
from po_nas.runtime.resumption import Resumption, way_on
from po_nas.runtime.run_directory import (
    Record,
    read_explanation,
    read_record,
    read_report_values,
    read_summary,
    traceback_file,
)
from po_nas.runtime.scoring import Scored
from po_nas.runtime.trial_errors import kind_of_failure
from po_nas.runtime.trusted_plugins import Trust, load_named

__all__ = ["RunData", "TrialData", "evaluations_text", "load_run", "read_run"]

_NUMBERS = 5
"""Evaluations that are named where there are many."""


class _TrustRow(BaseModel):
    label: str
    architectures: int = Field(ge=0)
    weights: list[Annotated[float, Field(allow_inf_nan=False)]]


class _Redundant(BaseModel):
    proxies: Annotated[list[str], Field(min_length=2, max_length=2)]
    spearman: float = Field(ge=-1, le=1)


class _Predictor(BaseModel):
    name: str
    loss: str
    weight: float = Field(allow_inf_nan=False)


class _Trust(BaseModel):
    """What a method writes to its explanation: a weight of each proxy for the incumbent and for clusters."""

    model_config = ConfigDict(strict=True, extra="allow")

    # Version 0.1 called them metrics.
    proxies: list[str] = Field(min_length=1, validation_alias=AliasChoices("proxies", "metrics"))
    rows: list[_TrustRow] = Field(min_length=1)
    believed: float | None = Field(None, ge=0, le=1)
    source: str = ""
    redundant: list[_Redundant] = []
    predictor: _Predictor | None = None

    @model_validator(mode="after")
    def _aligned(self) -> _Trust:
        if any(len(row.weights) != len(self.proxies) for row in self.rows):
            raise ValueError("a row has another number of weights than there are proxies")
        return self


@dataclass(frozen=True, slots=True)
class TrialData:
    """One trial: what was asked, and what came of it (None while pending).

    `number` is the index in the journal, from 0 in the order of asking. What readers see is `evaluation`, which counts
    from 1 in the order of completion, as figures do. `reason` is set for a failure. `test` is the report metric, where
    it is known. `feasible` is False where a limit is broken. `fidelity` is None for a full evaluation; `share` is what
    the trial counts of one.
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
    objective_s: float | None = None
    evaluation: int | None = None
    test: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    feasible: bool = True
    fidelity: float | None = None
    share: float = 1.0

    @property
    def succeeded(self) -> bool:
        """Whether it is a full evaluation, within the limits, that has not failed: it may be the incumbent."""
        return self.validation is not None and self.feasible and self.fidelity is None

    @property
    def finished(self) -> bool:
        """Whether an outcome is on record."""
        return self.cost_s is not None

    @property
    def seconds(self) -> float | None:
        """What the evaluation cost: recorded or measured by the objective, else real seconds; None while pending."""
        return self.cost_s or self.objective_s


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
    front_measure: FrontMeasure = field(default_factory=lambda: FrontMeasure(Goals()))
    """Objectives and limits, and the true front where it is known."""
    fidelities: Fidelities = field(default_factory=Fidelities)
    """Those that the method may use; none where all evaluations are full ones."""
    resume: Resumption | None = None
    """How the run can be resumed, where its record says it."""

    def trust(self) -> Mapping[str, Any] | None:
        """The weights of proxies that the method came to, None where it has none or they are damaged."""
        try:
            return _Trust.model_validate((read_explanation(self.directory) or {}).get("trust")).model_dump()
        except ValidationError:
            return None

    @property
    def told(self) -> list[TrialData]:
        """Finished trials in the order of their completion."""
        return sorted((t for t in self.trials if t.finished), key=lambda t: t.evaluation or 0)

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
        told = (trial.validation if trial.succeeded else None for trial in self.told)
        return list(accumulate(told, lambda *two: best((value for value in two if value is not None), default=None)))

    def incumbent(self) -> TrialData | None:
        """The best full evaluation by validation that keeps all limits; the earliest of equals."""
        succeeded = (trial for trial in self.told if trial.succeeded)
        return (max if self.maximize else min)(succeeded, key=attrgetter("validation"), default=None)

    def front(self) -> list[TrialData]:
        """The trials that no other dominates, the best by the first objective first; none with one objective."""
        kept = self._kept(self.told)
        return [kept[place] for place in front_of(self.losses(kept))] if self.front_measure.goals.several else []

    def losses(self, trials: Sequence[TrialData]) -> NDArray[np.float64]:
        """Values (n, k) of the objectives of trials that succeeded, turned so that lower is better."""
        return self.front_measure.goals.losses([trial.metrics for trial in trials])

    def hypervolumes(self) -> list[float]:
        """The hypervolume after each finished trial, by the reference point of the whole run."""
        told = self.told
        losses = self.losses(self._kept(told))
        if not len(losses):
            return [0.0] * len(told)
        reference, curve = self.front_measure.reference_of(losses), []
        for number in range(1, len(told) + 1):
            kept = self.losses(self._kept(told[:number]))
            curve.append(hypervolume(kept[front_of(kept)], reference))
        return curve

    @staticmethod
    def _kept(trials: Iterable[TrialData]) -> list[TrialData]:
        return [trial for trial in trials if trial.succeeded]

    @property
    def full_evaluations(self) -> float:
        """What all finished trials count as, in full evaluations."""
        return sum(trial.share for trial in self.told)

    def spent(self) -> list[float]:
        """Full evaluations that are spent after each finished trial, in the order of completion."""
        return list(accumulate(trial.share for trial in self.told))

    @property
    def way_on(self) -> str:
        """What resumes it: a command, or a call in Python."""
        return way_on(self.directory, self.config, self.resume)

    def failures(self) -> dict[str, list[int]]:
        """The evaluations that failed, by the first reason of each kind, the most frequent first."""
        found: dict[str, list[int]] = {}
        first: dict[str, str] = {}
        for trial in self.told:
            if trial.reason is not None and trial.evaluation is not None:
                reason = first.setdefault(kind_of_failure(trial.reason), trial.reason)
                found.setdefault(reason, []).append(trial.evaluation)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def traceback(self, evaluations: Iterable[int]) -> Path | None:
        """The file with the traceback of the first of these evaluations that left one."""
        paths = (self.directory / traceback_file(evaluation) for evaluation in evaluations)
        return next((path for path in paths if path.is_file()), None)

    def regret(self, validation: float | None) -> float | None:
        """Simple regret against the optimum of the task; None where either is unknown."""
        optimum = self.optimum.get("validation")
        if optimum is None or validation is None:
            return None
        return float(optimum - validation if self.maximize else validation - optimum)

    def winner(self, trial: TrialData | None = None) -> dict[str, Any] | None:
        """The incumbent, or another trial, as JSON: space, string, code, and where it comes from.

        None without a success.
        """
        trial = self.incumbent() if trial is None else trial
        if trial is None:
            return None
        from po_nas import spaces

        space = self.protocol.get("space")
        record: dict[str, Any] = {"string": trial.architecture}
        if space is not None and space in spaces.registry:
            found = spaces.get(space)
            record = found.to_json(found.from_string(trial.architecture)) | record
        with suppress(ValueError):
            # In a space of named choices the string is the configuration.
            config = json.loads(trial.architecture)
            record |= {"config": config} if isinstance(config, dict) else {}
        return record | {
            "benchmark": self.config["benchmark"],
            "method": self.config["method"]["name"],
            "seed": self.config["seed"],
            "evaluation": trial.evaluation,
            "validation": trial.validation,
            "test": trial.test,
            **(
                {"objectives": {n: trial.metrics[n] for n in names}}
                if (names := self.front_measure.goals.names)
                else {}
            ),
        }


def evaluations_text(evaluations: Sequence[int]) -> str:
    """The numbers of evaluations in words, the first few of many."""
    shown = ", ".join(map(str, evaluations[:_NUMBERS]))
    return f"evaluation{'s' if len(evaluations) > 1 else ''} {shown}{', …' if len(evaluations) > _NUMBERS else ''}"


def load_run(directory: Path, trust: Trust = False) -> RunData:
    """Read a run directory, finished or not.

    The run's plug-ins are imported, for its space may come from one; `trust` imports those, too, that are not known
    here. Raises `RunDirectoryError` when it holds no run, `JournalError` when its journal is damaged, `PluginError`
    when a plug-in is gone and `UntrustedPluginError` when one is not trusted.
    """
    record = read_record(directory)
    load_named(record.config.plugins, directory / "config.yaml", trust)
    return _read(directory, record)


def read_run(directory: Path) -> RunData:
    """Read a run directory without running any code of its plug-ins, so that no trust is needed.

    Raises as `load_run` for what is no run or damaged.
    """
    return _read(directory, read_record(directory))


def _read(directory: Path, record: Record) -> RunData:
    path = directory / "journal.jsonl"
    events = read_journal(path).events if path.exists() else ()
    summary = read_summary(directory)
    try:
        front_measure = FrontMeasure.from_json(record.goals)
    except (KeyError, TypeError, ValueError) as error:
        raise RunDirectoryError(directory, f"its config.yaml cannot be read (goals: {described(error)})") from error
    try:
        fidelities = Fidelities.of(record.fidelities)
    except (TypeError, ValueError) as error:
        raise RunDirectoryError(directory, f"its config.yaml cannot be read ({described(error)})") from error
    asked: dict[int, dict[str, Any]] = {}
    costs = fidelities.shares((e["architecture"], e.get("fidelity")) for e in events if e["event"] == "ask")
    tests = {} if summary is None else read_report_values(directory)
    ended, scored, told = None, Scored(), 0
    for event in events:
        if event["event"] == "ask":
            asked[event["number"]] = {k: event[k] for k in ("number", "architecture", "origin")}
            asked[event["number"]]["ask_s"] = event.get("ask_s", 0.0)
            try:
                fidelity, share = next(costs)
            except ValueError as error:
                reason = f"its config.yaml lacks fidelities of its journal ({error})"
                raise RunDirectoryError(directory, reason) from error
            asked[event["number"]] |= {"fidelity": fidelity, "share": share}
            scored += scored_of(event)
        elif event["event"] in {"tell", "fail"}:
            metrics = event.get("metrics", {})
            told += 1
            asked[event["number"]] |= {
                "validation": metrics.get("validation"),
                "metrics": metrics,
                "feasible": not metrics or front_measure.goals.feasible(metrics),
                "reason": event.get("reason"),
                "cost_s": event["cost_s"],
                **{k: event.get(k) for k in ("clock_s", "elapsed_s", "objective_s")},
                "evaluation": told,
                "test": tests.get(told, metrics.get("test")),
            }
        elif event["event"] == "end":
            ended = str(event["reason"])
    run = RunData(
        directory=directory,
        config=record.config.model_dump(mode="json"),
        protocol=record.protocol,
        optimum=record.optimum,
        versions=record.versions,
        trials=tuple(TrialData(**fields) for fields in asked.values()),
        summary=None if summary is None else summary.to_dict(),
        ended=ended,
        scored=scored,
        front_measure=front_measure,
        fidelities=fidelities,
        resume=record.resume,
    )
    best = run.incumbent()
    if summary is not None and best is not None and best.test is None:
        # Version 0.1 kept the report metric of the incumbent alone.
        known = {best.number: replace(best, test=summary.test)}
        run = replace(run, trials=tuple(known.get(trial.number, trial) for trial in run.trials))
    return run
