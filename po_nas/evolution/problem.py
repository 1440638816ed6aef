"""The pymoo problem: architectures scored by a function, higher is better."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from po_nas.spaces.base import Architecture

__all__ = ["ArchitectureProblem", "Score"]

Score = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""Scores (n,) of n architectures, higher is better."""


class ArchitectureProblem(Problem):  # type: ignore[misc]
    """Maximises `score`; pymoo minimises, so objectives are its negatives.

    `archive` keeps every architecture that was scored, under its key, with its scores.
    """

    def __init__(self, score: Score, key: Callable[[Architecture], Hashable]) -> None:
        super().__init__(n_var=1, n_obj=1, vtype=object)
        self._score, self._key = score, key
        self.archive: dict[Hashable, tuple[Architecture, NDArray[np.float64]]] = {}

    def _evaluate(self, X: NDArray[np.object_], out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        architectures = list(X[:, 0])
        scores = np.asarray(self._score(architectures), dtype=np.float64).reshape(len(architectures), self.n_obj)
        for architecture, row in zip(architectures, scores, strict=True):
            self.archive.setdefault(self._key(architecture), (architecture, row))
        out["F"] = -scores
