"""Watching a search: the `Callback` protocol and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from po_nas.core.objective import Metric, Outcome
from po_nas.core.trial import Trial
from po_nas.runtime.scoring import ScoringProgress

__all__ = ["Callback", "Progress", "RunInfo", "ScalarCallback", "ScoringProgress"]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is fixed for a whole run."""

    directory: Path
    config: Mapping[str, Any]
    protocol: Mapping[str, Any]
    metric: Metric
    max_evaluations: int | None
    optimum_validation: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands after an evaluation. Seconds are real seconds since the start, earlier sessions included.

    `eta_s` is what the evaluations that are left will take, with the scoring of proxies that goes with each, if any;
    the one long scoring with which a search begins is not expected again. Where there are several objectives, `front`
    is the number of trials that no other dominates, and `hypervolume` theirs; else they are None. `full_evaluations`
    is what all `evaluations` count in full ones, of which those at lower fidelities are shares; None: as many.
    """

    evaluations: int
    failed: int
    incumbent: str | None
    incumbent_validation: float | None
    regret_validation: float | None
    cost_s: float
    elapsed_s: float
    overhead_s: float
    eta_s: float | None
    front: int | None = None
    hypervolume: float | None = None
    true_hypervolume: float | None = None
    full_evaluations: float | None = None


class Callback:
    """Told of every step of a run; subclasses override what they need. An exception in one is reported, not fatal.

    Examples:
        >>> import po_nas
        >>> class Values(po_nas.Callback):
        ...     def __init__(self):
        ...         self.values = []
        ...
        ...     def on_tell(self, trial, outcome, progress):
        ...         self.values.append(outcome.validation)
        >>> told = Values()
        >>> settings = {"method": "random", "budget": 3, "out": "runs/watched"}
        >>> result = po_nas.search(benchmark="nasbench_graph/proteins", callbacks=[told], **settings)
        >>> len(told.values), max(told.values) == result.validation
        (3, True)
    """

    def on_start(self, info: RunInfo) -> None:
        """The run starts or goes on."""

    def on_score(self, progress: ScoringProgress) -> None:
        """Proxy scores are wanted, before the first of them is computed, or some have come."""

    def on_ask(self, trials: list[Trial]) -> None:
        """Trials were proposed and are on disk."""

    def on_tell(self, trial: Trial, outcome: Outcome, progress: Progress) -> None:
        """An evaluation is complete and on disk."""

    def on_end(self, summary: Mapping[str, Any]) -> None:
        """The run is over; `summary` is what ``summary.json`` holds."""


class ScalarCallback(Callback):
    """Hands the numbers of each trial that are known to `log`; steps are completed evaluations, counted from 1."""

    def log(self, values: Mapping[str, float], step: int, elapsed_s: float) -> None:
        """Write numbers by name; real seconds since the start are given too."""
        raise NotImplementedError

    def on_tell(self, trial: Trial, outcome: Outcome, progress: Progress) -> None:
        values = {
            "validation" if trial.fidelity is None else f"validation_at_{trial.fidelity:g}": outcome.validation,
            "incumbent": progress.incumbent_validation,
            "regret": progress.regret_validation,
            "overhead_s": progress.overhead_s,
            "cost_s": progress.cost_s,
            "front": progress.front,
            "hypervolume": progress.hypervolume,
            "full_evaluations": None
            if progress.full_evaluations == progress.evaluations
            else progress.full_evaluations,
        }
        known = {name: value for name, value in values.items() if value is not None}
        self.log(known, progress.evaluations, progress.elapsed_s)
