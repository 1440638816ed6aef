"""A numbered proposal, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from po_nas.core.objective import Outcome
from po_nas.spaces.base import Architecture

__all__ = ["Observation", "SourceTask", "Trial"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One architecture to be evaluated.

    `number` counts from 0 in the order of asking; `origin` says why it was proposed (``"initial"``,
    ``"acquisition"``, ``"evolution"``, ``"neighbour"``, ``"random"``); `seed` seeds its evaluation. `fidelity` is one
    of `Objective.fidelities`, None for a full evaluation; `after` is the lower one from which it goes on, where an
    earlier trial of the same architecture has left something to go on from, and has the same seed then.
    """

    number: int
    architecture: Architecture
    origin: str
    seed: int
    fidelity: float | None = None
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A told trial."""

    trial: Trial
    outcome: Outcome


@dataclass(frozen=True, eq=False)
class SourceTask:
    """Architectures that were evaluated on another task, and their search signals there, higher = better.

    A method may learn from them what to expect here; they say nothing about the values here. A `table` is all that is
    to be known of that task: it is looked up, not modelled, and what it does not hold has failed there.
    """

    task: str
    architectures: tuple[Architecture, ...]
    scores: tuple[float, ...]
    table: bool = False
