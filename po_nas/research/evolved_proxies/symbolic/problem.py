"""What a proxy is evolved on: architectures of one task, their accuracies and their training-free scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from po_nas.errors import ProblemError

__all__ = ["FEWEST", "Problem", "constant_columns"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

FEWEST = 10
"""Architectures below which a rank correlation says nothing."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One task of one search space.

    `space` is the group that leave-one-space-out leaves out. `accuracy` (n,), higher = better. `columns` are scores
    (n,) by name, raw: higher or lower may be better, NaN = missing; names of graph features begin with ``g_``.
    `classes` (n,) number the isomorphism classes: architectures of one class never fall on both sides of a split.
    `seconds` is what one score of a column takes, the median, where that is known. `source` says where it is from.

    Raises `ProblemError` for fewer than ten architectures, unlike lengths and accuracies that are not finite or all
    equal.
    """

    name: str
    space: str
    accuracy: F64
    columns: Mapping[str, F64]
    classes: I64
    seconds: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        n = len(self.accuracy)
        if n < FEWEST:
            raise ProblemError(f"{self.name}: {n} architectures; a rank correlation needs at least {FEWEST}")
        if len(self.classes) != n:
            raise ProblemError(f"{self.name}: {len(self.classes)} classes for {n} architectures")
        for name, column in self.columns.items():
            if column.shape != (n,):
                raise ProblemError(f"{self.name}: column {name!r} has shape {column.shape}, expected ({n},)")
        if not np.isfinite(self.accuracy).all():
            raise ProblemError(f"{self.name}: an accuracy is not finite; leave such architectures out")
        if np.all(self.accuracy == self.accuracy[0]):
            raise ProblemError(f"{self.name}: all accuracies are equal, so there is no order to learn")

    def __len__(self) -> int:
        return len(self.accuracy)

    def rows(self, rows: ArrayLike) -> Problem:
        """The problem of some of its architectures, (k,) positions or (n,) booleans."""
        chosen = np.asarray(rows)
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Problem(
            self.name, self.space, self.accuracy[chosen], columns, self.classes[chosen], self.seconds, self.source
        )

    def split(self, train: int, rng: np.random.Generator, *, stratified: bool = False) -> tuple[Problem, Problem]:
        """About `train` architectures and the others, no class on both sides.

        Classes are drawn until `train` architectures are reached; with `stratified`, evenly from the tenths of the
        mean accuracy of a class. Raises `ProblemError` when fewer than ten are left on a side.
        """
        _, first, inverse, sizes = np.unique(self.classes, return_index=True, return_inverse=True, return_counts=True)
        order = rng.permutation(len(first))
        if stratified:
            means = np.bincount(inverse, self.accuracy) / sizes
            tenth = (10 * np.argsort(np.argsort(means, kind="stable"), kind="stable")) // len(means)
            # In every round one class of each tenth.
            turn = np.zeros(len(order), dtype=np.intp)
            for value in range(10):
                inside = order[tenth[order] == value]
                turn[inside] = np.arange(len(inside))
            order = order[np.argsort(turn[order], kind="stable")]
        taken = np.cumsum(sizes[order]) - sizes[order] < train
        chosen = np.isin(inverse, order[taken])
        sides = int(chosen.sum()), int((~chosen).sum())
        if min(sides) < FEWEST:
            raise ProblemError(
                f"{self.name}: {train} of {len(self)} architectures to learn from leave {sides[1]}; "
                f"at least {FEWEST} are needed on both sides"
            )
        return self.rows(chosen), self.rows(~chosen)


def constant_columns(problem: Problem) -> tuple[str, ...]:
    """Columns that tell no two architectures apart."""
    found = []
    for name, column in problem.columns.items():
        finite = column[np.isfinite(column)]
        if len(finite) == 0 or np.all(finite == finite[0]):
            found.append(name)
    return tuple(found)
