"""Reading the rows of the study of fusion: paired differences to the baseline, a mean over seeds for each task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from po_nas.compare.statistics import higher_or_lower, holm, mean_interval, paired_p, signed_rank
from po_nas.research.fusion.design import MODELS, FusionStudyConfig

__all__ = ["Difference", "FusionResults"]

F64 = NDArray[np.float64]
_FEWEST_SEEDS = 6
"""Seeds below which no paired test of one task can be below 5 %."""
_LEAST_GAIN = 0.1
"""Of the baseline's regret: less than that is no gain of which a share can be told."""


@dataclass(frozen=True)
class Difference:
    """A model minus the baseline: the mean over tasks, the half width of its 95 % interval, and Wilcoxon's p.

    The interval and the test are over means of tasks; both are NaN for a single task. `ranks` is the signed rank sum
    that is tested, whose sign may differ from that of the mean where one task differs by far.
    """

    mean: float
    half: float
    p: float
    ranks: float


@dataclass(frozen=True)
class FusionResults:
    """The rows of the study, looked up by kind, model, number and measure.

    Attributes:
        values: By kind, model, number and measure: of every task, the values by seed.
        groups: The tasks of each space, in the order of the study.
        config: What was run.
    """

    values: dict[tuple[str, str, int, str], dict[str, dict[int, float]]]
    groups: dict[str, list[str]]
    config: FusionStudyConfig

    @classmethod
    def of(cls, table: pa.Table, config: FusionStudyConfig) -> FusionResults:
        """Index the table that `run_fusion_study` returns."""
        values: dict[tuple[str, str, int, str], dict[str, dict[int, float]]] = {}
        groups: dict[str, dict[str, None]] = {}
        for row in table.to_pylist():
            key = (row["kind"], row["model"], row["at"], row["measure"])
            values.setdefault(key, {}).setdefault(row["task"], {})[row["seed"]] = row["value"]
            groups.setdefault(row["group"], {})[row["task"]] = None
        return cls(values, {group: list(tasks) for group, tasks in groups.items()}, config)

    @property
    def tasks(self) -> list[str]:
        """All tasks."""
        return [task for tasks in self.groups.values() for task in tasks]

    def models(self, kind: str) -> list[str]:
        """The models of a kind that there are rows of, in their order."""
        wanted = self.config.models if kind == "ranking" else self.config.search_models
        known = {model for k, model, _, _ in self.values if k == kind}
        return [name for name in MODELS if name in wanted and name in known]

    def numbers(self, kind: str) -> list[int]:
        """Numbers of labels, or of evaluations, that there are rows of."""
        return sorted({at for k, _, at, _ in self.values if k == kind})

    def level(self, kind: str, model: str, at: int, measure: str, tasks: Sequence[str] | None = None) -> F64:
        """Means over seeds, one for each task that has any (t,)."""
        found = self.values.get((kind, model, at, measure), {})
        chosen = self.tasks if tasks is None else tasks
        return np.array([np.mean([*found[task].values()]) for task in chosen if task in found])

    def pairs(self, kind: str, model: str, at: int, measure: str) -> dict[str, F64]:
        """By task, a model's values minus the baseline's (s,), of the seeds that both have."""
        first = self.values.get((kind, model, at, measure), {})
        second = self.values.get((kind, self.config.baseline, at, measure), {})
        found = {}
        for task in self.tasks:
            seeds = sorted(first.get(task, {}).keys() & second.get(task, {}).keys())
            if seeds:
                found[task] = np.array([first[task][seed] - second[task][seed] for seed in seeds])
        return found

    def difference(
        self, kind: str, model: str, at: int, measure: str, tasks: Sequence[str] | None = None
    ) -> Difference | None:
        """A model minus the baseline over tasks; None where no task has both."""
        pairs = self.pairs(kind, model, at, measure)
        means = np.array([float(np.mean(pairs[task])) for task in (tasks or self.tasks) if task in pairs])
        if not len(means):
            return None
        mean, half = mean_interval(means)
        none = np.zeros_like(means)
        p = paired_p(means, none) if len(means) > 1 else float("nan")
        return Difference(mean, half, p, signed_rank(means, none))

    def adjusted(self, kind: str, measure: str) -> dict[tuple[str, int], float]:
        """Holm's p-values by model and number, over all models and numbers of a measure, all tasks together."""
        keys, raw = [], []
        for model in self.models(kind):
            for at in self.numbers(kind) if model != self.config.baseline else ():
                found = self.difference(kind, model, at, measure)
                if found is not None and np.isfinite(found.p):
                    keys.append((model, at))
                    raw.append(found.p)
        return dict(zip(keys, holm(raw), strict=True))

    def better_and_worse(self, kind: str, model: str, at: int) -> tuple[int, int] | None:
        """On how many tasks a model has significantly less and more regret than the baseline.

        Wilcoxon's test of the pairs of seeds at 5 %, Holm over tasks; None with fewer than six seeds, where no test of
        a task can be significant.
        """
        pairs = self.pairs(kind, model, at, "regret")
        if not pairs or min(len(values) for values in pairs.values()) < _FEWEST_SEEDS:
            return None
        adjusted = holm([paired_p(values, np.zeros_like(values)) for values in pairs.values()])
        signs = [higher_or_lower(v, np.zeros_like(v), p) for v, p in zip(pairs.values(), adjusted, strict=True)]
        return signs.count(-1), signs.count(1)

    def realised(self, kind: str, model: str, oracle: str, at: int, tasks: Sequence[str]) -> float | None:
        """What a model gains over the baseline as a share of what an oracle gains, in regret summed over tasks.

        None where the oracle gains less than 10 % of the baseline's regret.
        """
        gains = [self.difference(kind, name, at, "regret", tasks) for name in (model, oracle)]
        if gains[0] is None or gains[1] is None:
            return None
        least = _LEAST_GAIN * float(np.mean(self.level(kind, self.config.baseline, at, "regret", tasks)))
        gained = -gains[1].mean
        return None if gained <= least else -gains[0].mean / gained

    def figure_of(self, order: str, measure: str, task: str) -> float:
        """A figure of an order of a task; NaN where there is none."""
        found = self.values.get(("orders", order, 0, measure), {}).get(task, {})
        return next(iter(found.values()), float("nan"))

    def json_lines(self) -> str:
        """Means over seeds as JSON, one line for each kind, task and model: regret by number, and ranks of the optimum.

        All measures and seeds are in ``results.parquet``.
        """
        nested: dict[tuple[str, str, str, str], dict[int, tuple[float, int]]] = {}
        kept = {key: by_task for key, by_task in self.values.items() if key[3] in ("regret", "rank of the optimum")}
        for (kind, model, at, measure), by_task in kept.items():
            for task, seeds in by_task.items():
                mean = float(np.mean([*seeds.values()]))
                nested.setdefault((kind, task, model, measure), {})[at] = mean, len(seeds)
        lines = []
        for (kind, task, model, measure), by_number in nested.items():
            lines.append(
                json.dumps(
                    {
                        "kind": kind,
                        "task": task,
                        "model": model,
                        "measure": measure,
                        "seeds": min(count for _, count in by_number.values()),
                        "mean": {str(at): round(mean, 4) for at, (mean, _) in sorted(by_number.items())},
                    },
                    separators=(",", ":"),
                )
            )
        return "\n".join(lines) + "\n"
