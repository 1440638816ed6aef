"""The front of a run: which trials no other dominates, their hypervolume, and the true front of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.goals import Goals, Limit, Metric
from po_nas.core.objective import Objective, Outcome
from po_nas.core.trial import Trial
from po_nas.evolution.front import front_of, hypervolume, reference_point

__all__ = ["FrontMeasure", "front_measure_of", "front_trials"]

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class FrontMeasure:
    """How fronts of a run are measured; losses are lower = better.

    Attributes:
        goals: Objectives, k of them, and limits.
        true: Losses (m, k) of the true front within the limits, None where no table tells.
        true_volume: Its hypervolume.
        reference: The reference point (k,) as losses: a tenth of its extent beyond the true front; None where that is
            unknown, then of what a run has told.
    """

    goals: Goals
    true: F64 | None = None
    reference: F64 | None = None
    true_volume: float | None = field(default=None, compare=False)

    def reference_of(self, losses: F64) -> F64:
        """The reference point (k,) for what was told, with losses (n, k)."""
        return reference_point(losses) if self.reference is None else self.reference

    def hypervolume(self, losses: F64) -> float:
        """Of what was told, with losses (n, k)."""
        return hypervolume(losses[front_of(losses)], self.reference_of(losses)) if len(losses) else 0.0

    def by_name(self, losses: F64) -> dict[str, float]:
        """A point (k,) of losses as values of the objectives."""
        metrics = self.goals.objectives
        return {m.name: float(m.sign * loss) + 0.0 for m, loss in zip(metrics, losses, strict=True)}

    def to_json(self) -> dict[str, Any]:
        """What the record of a run holds; nothing where there is one objective and no limit."""
        if not self.goals.several and not self.goals.limits:
            return {}
        return {
            "objectives": [asdict(metric) for metric in self.goals.objectives],
            "limits": [asdict(limit) for limit in self.goals.limits],
            "true_front": None if self.true is None else [list(self.by_name(row).values()) for row in self.true],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> FrontMeasure:
        """What `to_json` has written; raises KeyError, TypeError or ValueError for anything else."""
        if not told:
            return cls(Goals())
        metrics = tuple(Metric(**metric) for metric in told["objectives"])
        limits = tuple(
            Limit(Metric(**limit["metric"]), limit["comparison"], limit["value"]) for limit in told["limits"]
        )
        rows, goals = told.get("true_front"), Goals(metrics, limits)
        signs = np.array([metric.sign for metric in metrics])
        return _measured(goals, None if rows is None else np.array(rows, dtype=np.float64) * signs)


def _measured(goals: Goals, true: F64 | None) -> FrontMeasure:
    if true is None or not len(true):
        return FrontMeasure(goals)
    reference = reference_point(true)
    return FrontMeasure(goals, true, reference, hypervolume(true, reference))


def front_measure_of(objective: Objective) -> FrontMeasure:
    """How fronts of a search are measured; the true front is that of the table, if it has all that is asked for."""
    goals, table = objective.goals, objective.recorded
    names = {*goals.names, *(limit.metric.name for limit in goals.limits)}
    if not goals.several or table is None or not names <= set(table.columns):
        return FrontMeasure(goals)
    losses = np.stack([metric.sign * table.columns[metric.name] for metric in goals.objectives], axis=1)
    kept = np.ones(len(losses), dtype=bool)
    for limit in goals.limits:
        kept &= limit.violation(table.columns[limit.metric.name]) == 0.0
    losses = losses[kept]
    return _measured(goals, losses[front_of(losses)])


def front_trials(told: Sequence[tuple[Trial, Outcome]], goals: Goals) -> tuple[list[tuple[Trial, Outcome]], F64]:
    """The trials on the front of the full evaluations that succeeded within the limits, the best by the first objective
    first.

    Also the losses (n, k) of all of these.
    """
    kept = list(_feasible(told, goals))
    losses = goals.losses([outcome.metrics for _, outcome in kept])
    return [kept[place] for place in front_of(losses)], losses


def _feasible(told: Iterable[tuple[Trial, Outcome]], goals: Goals) -> Iterable[tuple[Trial, Outcome]]:
    return ((t, o) for t, o in told if t.fidelity is None and o.failure is None and goals.feasible(o.metrics))
