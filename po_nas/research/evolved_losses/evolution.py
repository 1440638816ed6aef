"""Regularised evolution of losses: the oldest dies, a mutant of a tournament's winner is born.

Reference: Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019, arXiv 1802.01548;
for losses: Morgan and Hougen, arXiv 2403.08793. Differences: children are made in broods from one state of the
population, so that they can be trained side by side and the course of the evolution does not depend on how many
processes there are; every child climbs the screen before the fitness surrogate, as the initial losses do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from po_nas.errors import SearchExhaustedError
from po_nas.research.evolved_losses.checks import Candidate, Funnel, IntegrityCheck
from po_nas.research.evolved_losses.config import EvolveLossConfig
from po_nas.research.evolved_losses.graph import mutate, sample
from po_nas.research.evolved_losses.jobs import climb, loss_of
from po_nas.research.evolved_losses.trainings import Trainings

__all__ = ["FITNESS", "SCREEN", "Evolution", "Member", "ranked"]

SCREEN, FITNESS = 0, 1
"""Steps of the ladder; elimination rounds follow."""
_DRAWN = 64
_DRAWS = 200_000


@dataclass(frozen=True, eq=False)
class Member:
    """A loss that was trained: validation accuracies in %, NaN where a training failed or was not made.

    `number` counts losses in the order of their making, `parent` is that of the loss that was mutated.
    """

    number: int
    candidate: Candidate
    screen: float
    fitness: float
    parent: int | None


class Evolution:
    """Makes and trains losses; `members` are all that were, failures included, in order."""

    def __init__(self, config: EvolveLossConfig, trainings: Trainings, told: Callable[[str], None]) -> None:
        self.config, self.trainings, self._told = config, trainings, told
        self.check = IntegrityCheck()
        self.members: list[Member] = []
        self.drawn, self.by_mutation = self.check.funnel, Funnel()

    def run(self) -> list[Member]:
        """Evolve to the end; all members with a fitness, best first.

        Raises `SearchExhaustedError` when no loss is left to go on with, and what `Trainings.run` raises.
        """
        config = self.config
        rng = np.random.default_rng([config.seed, 1])
        self._told("drawing random losses")
        found = self._initial(rng)
        self._told("training random losses")
        population = deque(self._population(found))
        if not population:
            raise SearchExhaustedError("no initial loss could be trained; use another dataset, screen or seed")
        # The counts so far are of random graphs; those of mutants follow.
        self.check.funnel = self.by_mutation
        children = 0
        while children < config.children:
            self._told(f"evolution: {children} of {config.children} children, best {_best(population):.2f} %")
            brood = self._brood(min(config.brood, config.children - children), list(population), rng)
            if not brood:
                break
            for child in brood:
                population.append(child)
                if len(population) > config.population:
                    population.popleft()
            children += len(brood)
        return ranked(self.members)

    def _initial(self, rng: np.random.Generator) -> list[Candidate]:
        found: list[Candidate] = []
        draws = 0
        while len(found) < self.config.initial and draws < _DRAWS:
            found += self.check.accept([sample(rng) for _ in range(_DRAWN)])
            draws += _DRAWN
        return found[: self.config.initial]

    def _population(self, candidates: Sequence[Candidate]) -> list[Member]:
        config = self.config
        losses = [loss_of(one) for one in candidates]
        screened = climb(config, config.screen, SCREEN, losses, self.trainings)
        order = [k for k in np.argsort(-screened, kind="stable") if np.isfinite(screened[k])][: config.screen.keep]
        fit = climb(config, config.fitness, FITNESS, [losses[k] for k in order], self.trainings)
        fitness = dict(zip(order, fit, strict=True))
        nothing = float("nan")
        self.members += [
            Member(k, one, float(screened[k]), float(fitness.get(k, nothing)), None) for k, one in enumerate(candidates)
        ]
        return sorted(ranked(self.members)[: config.population], key=lambda member: member.number)

    def _brood(self, size: int, population: Sequence[Member], rng: np.random.Generator) -> list[Member]:
        """Up to `size` children that could be trained; one whose training fails has others tried in its place."""
        config, born = self.config, list[Member]()
        for _ in range(1 + config.again):
            pairs = [self._child(population, rng) for _ in range(size - len(born))]
            made = [pair for pair in pairs if pair is not None]
            if not made:
                break
            losses = [loss_of(candidate) for candidate, _ in made]
            screened = climb(config, config.screen, SCREEN, losses, self.trainings)
            passed = np.flatnonzero(np.isfinite(screened))
            fit = climb(config, config.fitness, FITNESS, [losses[k] for k in passed], self.trainings)
            fitness = dict(zip(passed, fit, strict=True))
            for k, (candidate, parent) in enumerate(made):
                value = float(fitness.get(k, float("nan")))
                member = Member(len(self.members), candidate, float(screened[k]), value, parent)
                self.members.append(member)
                if np.isfinite(value):
                    born.append(member)
            if len(born) >= size:
                break
        return born

    def _child(self, population: Sequence[Member], rng: np.random.Generator) -> tuple[Candidate, int] | None:
        """A new loss that passes all checks, and its parent's number."""
        drawn = rng.integers(len(population), size=self.config.tournament)
        parent = max((population[k] for k in drawn), key=lambda member: member.fitness)
        for _ in range(self.config.tries):
            graph = mutate(parent.candidate.graph, rng)
            accepted = self.check.accept([graph]) if graph is not None else []
            if accepted:
                return accepted[0], parent.number
        return None


def ranked(members: Sequence[Member]) -> list[Member]:
    """Those with a fitness, best first; of equals the older."""
    return sorted((m for m in members if np.isfinite(m.fitness)), key=lambda m: (-m.fitness, m.number))


def _best(population: Sequence[Member]) -> float:
    return max(member.fitness for member in population)
