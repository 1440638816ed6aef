"""Two-stage survival: a prediction for all offspring, real training-free metrics for the best of them only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import BudgetError, ScoreError
from po_nas.evolution.problem import Score
from po_nas.spaces.base import Architecture

__all__ = ["MetricBudget", "Survivors", "select_survivors"]

Measure = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""Metrics (n, k) of n architectures, NaN where there is none."""


class MetricBudget:
    """Computes metrics through `measure`, counts what was computed, and refuses to go beyond `limit` architectures.

    `architectures` and `values` are how many architectures were measured and how many metric values that took (NaN ones
    included, for they cost as much). Architectures are told apart by their code; one that was measured before is
    looked up and costs nothing.
    """

    def __init__(self, measure: Measure, limit: int | None = None) -> None:
        if limit is not None and limit < 0:
            raise BudgetError("limit", limit, "expected 0 or more architectures, or None for no limit")
        self._measure, self.limit = measure, limit
        self.values = 0
        self._rows: dict[Architecture, NDArray[np.float64]] = {}

    @property
    def architectures(self) -> int:
        """How many architectures were measured."""
        return len(self._rows)

    @property
    def left(self) -> int | None:
        """How many more may be measured, None without a limit."""
        return None if self.limit is None else self.limit - self.architectures

    def affordable(self, architectures: Sequence[Architecture]) -> list[Architecture]:
        """The longest beginning of the list that can be measured."""
        new: set[Architecture] = set()
        for position, architecture in enumerate(architectures):
            if architecture not in self._rows:
                new.add(architecture)
            if self.left is not None and len(new) > self.left:
                return list(architectures[:position])
        return list(architectures)

    def metrics(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """Metrics (n, k), (0, 0) of none; `BudgetError` when the limit does not allow them all."""
        new = [architecture for architecture in dict.fromkeys(architectures) if architecture not in self._rows]
        if self.left is not None and len(new) > self.left:
            raise BudgetError("limit", self.limit, f"{len(new)} to be measured and {self.left} left; raise the limit")
        if new:
            measured = np.asarray(self._measure(new), dtype=np.float64)
            if measured.ndim != 2 or len(measured) != len(new):
                raise ScoreError(f"metrics of {len(new)} architectures have shape {measured.shape}, expected (n, k)")
            self._rows.update(zip(new, measured, strict=True))
            self.values += measured.size
        rows = [self._rows[architecture] for architecture in architectures]
        return np.array(rows) if rows else np.empty((0, 0))


@dataclass(frozen=True)
class Survivors:
    """`architectures`, best predicted first, with their predicted scores (n,) and real metrics (n, k)."""

    architectures: tuple[Architecture, ...]
    predicted: NDArray[np.float64]
    metrics: NDArray[np.float64]


def select_survivors(
    offspring: Sequence[Architecture], predict: Score, budget: MetricBudget, keep: int = 50
) -> Survivors:
    """Predict the scores of all offspring (higher is better), and measure the `keep` best of them.

    Fewer survive when the budget runs out; an offspring whose prediction is not finite never does. Ties go to the one
    that comes first. Raises `ScoreError` when there is not one prediction for each.
    """
    predicted = np.asarray(predict(offspring), dtype=np.float64) if len(offspring) else np.empty(0)
    if predicted.shape != (len(offspring),):
        raise ScoreError(f"predictions have shape {predicted.shape}, expected ({len(offspring)},)")
    order = [int(k) for k in np.argsort(-predicted, kind="stable") if np.isfinite(predicted[k])][:keep]
    best = budget.affordable([offspring[k] for k in order])
    return Survivors(tuple(best), predicted[order[: len(best)]], budget.metrics(best))
