"""Several goals at once: the Pareto front of all formulas, and who survives by NSGA-II (DEAP's)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from deap import base, tools
from numpy.typing import NDArray

from po_nas.research.evolved_proxies.symbolic.grammar import Tree

__all__ = ["Front", "Ranked", "survivors"]

F64: TypeAlias = NDArray[np.float64]


class _Goals(base.Fitness):  # type: ignore[misc]
    """τ up, size and seconds down."""

    weights = (1.0, -1.0, -1.0)


@dataclass(eq=False)
class Ranked:
    """A tree with its number, its τ by problem (p,), their aggregate, and what else it is judged by.

    `rank` is the number of its front, 0 the best, and `crowding` its distance to others there; set by `survivors`.
    """

    tree: Tree
    number: int
    taus: F64
    total: float
    fitness: float
    size: int
    seconds: float
    rank: int = 0
    crowding: float = 0.0
    goals: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        self.goals = (self.total, float(self.size), self.seconds)


@dataclass(eq=False)
class _Candidate:
    """A member in the shape that DEAP sorts."""

    member: Ranked
    fitness: Any


def survivors(members: list[Ranked], count: int) -> list[Ranked]:
    """The best `count` by front and crowding, with `rank` and `crowding` set; nothing is drawn at random."""
    candidates = [_Candidate(member, _Goals(member.goals)) for member in members]
    found: list[Ranked] = []
    for rank, front in enumerate(tools.sortNondominated(candidates, count)):
        tools.emo.assignCrowdingDist(front)
        for candidate in sorted(front, key=lambda c: -c.fitness.crowding_dist):
            candidate.member.rank, candidate.member.crowding = rank, float(candidate.fitness.crowding_dist)
            found.append(candidate.member)
    return found[:count]


class Front:
    """The formulas that none is better than in all of τ, size and seconds; the best τ first."""

    def __init__(self) -> None:
        self.members: list[Ranked] = []

    def offer(self, new: Ranked) -> None:
        """Take a formula in where it belongs; of equal ones the first stays."""
        if any(_covers(old.goals, new.goals) for old in self.members):
            return
        self.members = [old for old in self.members if not _covers(new.goals, old.goals)]
        self.members.append(new)
        self.members.sort(key=lambda m: (-m.total, m.size, m.seconds))


def _covers(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    return a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]
