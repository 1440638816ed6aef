"""Elimination rounds: fewer and fewer losses, trained under more and more regularisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from po_nas.research.evolved_losses.config import EvolveLossConfig
from po_nas.research.evolved_losses.evolution import FITNESS, Member, ranked
from po_nas.research.evolved_losses.jobs import F64, climb, loss_of
from po_nas.research.evolved_losses.trainings import Trainings

__all__ = ["Rounds", "eliminate"]


@dataclass(frozen=True, eq=False)
class Rounds:
    """`scores` of every round: number of the loss to its validation accuracy, %; `winners` best first.

    `ladder` are numbers of losses of all fitnesses that climbed every round without a chance, to compare the rounds.
    """

    scores: tuple[dict[int, float], ...]
    winners: tuple[Member, ...]
    ladder: tuple[int, ...]


def eliminate(
    config: EvolveLossConfig, members: Sequence[Member], trainings: Trainings, told: Callable[[str], None]
) -> Rounds:
    """The best `fitness.keep` by fitness climb the elimination rounds.

    The winners are the best of the last round; without rounds, of the fitness surrogate.
    """
    best = ranked(members)
    alive = best[: config.fitness.keep]
    others = best[len(alive) :]
    places = np.linspace(0, len(others) - 1, min(config.ladder, len(others))).round().astype(int)
    ladder = [others[k] for k in dict.fromkeys(places.tolist())]
    rounds: list[dict[int, float]] = []
    for k, rung in enumerate(config.elimination):
        told(f"elimination, round {k + 1} of {len(config.elimination)}: {len(alive)} losses")
        everybody = [*alive, *ladder]
        found: F64 = climb(config, rung, FITNESS + 1 + k, [loss_of(m.candidate) for m in everybody], trainings)
        rounds.append({m.number: float(value) for m, value in zip(everybody, found, strict=True)})
        last = rounds[-1]
        alive = sorted(
            (m for m in alive if np.isfinite(last[m.number])), key=lambda m: (-last[m.number], -m.fitness, m.number)
        )[: rung.keep]
    return Rounds(tuple(rounds), tuple(alive), tuple(m.number for m in ladder))
