"""NSGA-II: a genetic algorithm for several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt
from pymoo.algorithms.moo.nsga2 import RankAndCrowding, binary_tournament
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.selection.tournament import TournamentSelection

from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.evolution.evolve import column
from po_nas.methods.objectives import observed_losses

__all__ = ["NSGA2"]

_CHILDREN = 50
"""Children that are bred before a random architecture takes the place of one that has not been seen."""


class _Options(MethodOptions):
    population: PositiveInt | None = Field(
        None, description="architectures of a generation; default: a fifth of the budget, between 4 and 100"
    )
    crossover: float = Field(0.9, ge=0, le=1, description="probability that a child has two parents")
    mutation: float = Field(0.9, ge=0, le=1, description="probability that a child is mutated")


class NSGA2(Searcher):
    """Breeds a generation from the population that is left of all generations before it.

    Parents win binary tournaments, and populations survive, by the number of their front and by crowding distance; what
    breaks a limit loses to what keeps all of them, and otherwise the smaller violation wins. A child is a crossover of
    two parents, mutated once. One that has been seen is bred again, up to 50 times; then a random one takes its place.
    Selection and survival are pymoo's. With one objective it is a genetic algorithm whose best survive.

    References: Deb, Pratap, Agarwal and Meyarivan, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE
    Transactions on Evolutionary Computation 6(2), 2002; Lu et al., NSGA-Net, GECCO 2019, arXiv 1810.03522.
    """

    Options = _Options
    supports_objectives = True
    options: _Options

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Random architectures until there is a population, then children."""
        budget = self.domain.max_evaluations
        size = self.options.population or (20 if budget is None else min(100, max(4, budget // 5)))
        if not self.initial_design_done(size, successes=2):
            return Proposal(self.draw_unseen(rng), "initial")
        alive, space = self._population(size), self.domain.space
        problem = _problem(alive)
        told = SimpleNamespace(tournament_type="comp_by_dom_and_crowding", random_state=rng)
        selection = TournamentSelection(func_comp=binary_tournament)
        for _ in range(_CHILDREN):
            pair = selection.do(problem, alive, 1, 2, to_pop=False, algorithm=told, random_state=rng)[0]
            first, second = (alive[int(place)].X[0] for place in pair)
            child = space.crossover(first, second, rng) if rng.random() < self.options.crossover else first
            if rng.random() < self.options.mutation:
                child = space.mutate(child, rng)
            if not self.is_seen(child):
                return Proposal(child, "evolution")
        return Proposal(self.draw_unseen(rng), "random")

    def _population(self, size: int) -> Any:
        """What has survived when the generation of the next trial begins."""
        start = self.initial_trials(size)
        generation = max(self.asked - start, 0) // size
        ends = [start + number * size for number in range(generation + 1)]
        alive, told = Population(), self.successes
        for number, end in enumerate(ends):
            begin = ends[number - 1] if number else -1
            new = [o for o in told if begin <= o.trial.number < end]
            merged = Population.merge(alive, self._individuals(new))
            rng = self.stream("survival", number)
            alive = RankAndCrowding().do(_problem(merged), merged, n_survive=size, random_state=rng)
        # Too few of the first generation may have succeeded, or be told.
        return alive if len(alive) >= 2 else self._individuals(told)

    def _individuals(self, told: Sequence[Observation]) -> Any:
        if not told:
            return Population()
        losses, violations = observed_losses(self, told)
        X = column([o.trial.architecture for o in told])
        individuals = Population.new("X", X, "F", losses, "G", violations[:, None])
        return RankAndCrowding().do(_problem(individuals), individuals, random_state=self.stream("survival"))


def _problem(individuals: Any) -> Problem:
    k = len(individuals[0].F) if len(individuals) else 1
    return Problem(n_var=1, n_obj=k, n_ieq_constr=1, vtype=object)
