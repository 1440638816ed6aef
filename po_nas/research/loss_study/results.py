"""Reading the loss study's tidy table: one array over runs per task, size, predictor, loss, test set and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas.research.loss_study.design import Case, LossChoice, TaskChoice
from po_nas.research.loss_study.run import CEILING

__all__ = ["LossResults", "higher_is_better", "unique"]

_Key = tuple[str, int, str, str, str, str, str]


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of the metric is better; N@K is a rank, so smaller is."""
    return not metric.startswith("best_rank")


def unique(cases: Sequence[Case]) -> tuple[list[TaskChoice], list[str], list[LossChoice]]:
    """Tasks, predictors and losses of a group of cases, in their order."""
    tasks = list(dict.fromkeys(case.task for case in cases))
    predictors = list(dict.fromkeys(case.predictor for case in cases))
    chosen = list({case.loss.title: case.loss for case in cases}.values())
    return tasks, predictors, chosen


@dataclass(frozen=True)
class LossResults:
    """The study's results, looked up by what was trained and how it was scored."""

    values: dict[_Key, dict[int, float]]
    ceilings: dict[tuple[str, str, str], NDArray[np.float64]]

    @classmethod
    def of(cls, table: pa.Table) -> LossResults:
        """Index the table that `run_loss_study` returns."""
        values: dict[_Key, dict[int, float]] = {}
        ceilings: dict[tuple[str, str, str], list[float]] = {}
        for row in table.to_pylist():
            if row["loss"] == CEILING:
                ceilings.setdefault((row["task"], row["set"], row["metric"]), []).append(row["value"])
                continue
            key = (row["task"], row["train"], row["predictor"], row["loss"], row["hyperparameters"])
            values.setdefault((*key, row["set"], row["metric"]), {})[row["seed"]] = row["value"]
        return cls(values, {key: np.array(found) for key, found in ceilings.items()})

    def runs(self, task: TaskChoice, predictor: str, loss: LossChoice, over: str, metric: str) -> NDArray[np.float64]:
        """(runs,) values in the order of seeds; empty when this was not run."""
        hyperparameters = str(sorted(loss.hyperparameters.items()))
        found = self.values.get((task.benchmark, task.train, predictor, loss.name, hyperparameters, over, metric), {})
        return np.array([found[seed] for seed in sorted(found)])

    def ceiling(self, task: TaskChoice, over: str, metric: str) -> float:
        """What a predictor that knows all validation labels reaches; NaN where unknown."""
        found = self.ceilings.get((task.benchmark, over, metric))
        return float("nan") if found is None else float(found.mean())
