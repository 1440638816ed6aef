"""Searches without a model: at random, from neighbour to neighbour, and by regularised (aging) evolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveInt

from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.methods.objectives import pareto_best_first
from po_nas.spaces.base import Architecture

__all__ = ["LocalSearch", "MORegularizedEvolution", "RandomSearch", "RegularizedEvolution"]


class RandomSearch(Searcher):
    """Samples the space without replacement.

    The draws are those of the space's `sample`, seeded by trial number, so a longer run extends a shorter one and
    batches do not change it.

    References: Li and Talwalkar, Random Search and Reproducibility for Neural Architecture Search, UAI 2019,
    arXiv 1902.07638.
    """

    supports_objectives = True

    def propose(self, rng: np.random.Generator) -> Proposal:
        return Proposal(self.draw_unseen(rng), "random")


class _ClimbOptions(MethodOptions):
    initial: PositiveInt = Field(10, description="random architectures to start from")


class LocalSearch(Searcher):
    """Evaluates the unseen neighbours of the incumbent in random order and moves as soon as one is better.

    When every neighbour of the incumbent has been seen, the climb is over and a new one starts at a random
    architecture; its incumbent is the best architecture of that climb alone.

    References: White, Nolen and Savani, Exploring the Loss Landscape in Neural Architecture Search, UAI 2021,
    arXiv 2005.02960.
    """

    Options = _ClimbOptions
    options: _ClimbOptions

    def propose(self, rng: np.random.Generator) -> Proposal:
        """An unseen neighbour of the climb's incumbent, or a restart."""
        if not self.initial_design_done(self.options.initial):
            return Proposal(self.draw_unseen(rng), "initial")
        climb: list[Observation] = []
        for observation in self.successes:
            if observation.trial.origin == "restart":
                climb = []
            climb.append(observation)
        restarting = any(t.origin == "restart" for t in self.pending.values())
        if climb and not restarting:
            best = max(climb, key=lambda o: self.score(o.outcome)).trial.architecture
            near = [a for a in self.domain.space.neighbours(best) if not self.is_seen(a)]
            if near:
                return Proposal(near[int(rng.integers(len(near)))], "neighbour")
        return Proposal(self.draw_unseen(rng), "restart")


_MUTATIONS = 50


class _AgingOptions(MethodOptions):
    population: PositiveInt | None = Field(
        None, description="architectures alive at a time; default: a third of the budget, between 4 and 100"
    )
    sample: PositiveInt | None = Field(None, description="tournament size; default: half of the population, at most 10")


class RegularizedEvolution(Searcher):
    """Keeps the youngest `population` evaluated architectures, mutates the best of a random tournament.

    Age is the number of a trial, so that the order in which parallel evaluations end does not matter; warm-start
    observations are the oldest. A mutant that has been seen is mutated again, up to 50 times, so the walk may cross
    seen ground; then a random one takes its place. The published population of 100 leaves no evolution within a budget
    of 50, hence the smaller default.

    References: Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019,
    arXiv 1802.01548.
    """

    Options = _AgingOptions
    options: _AgingOptions

    def _sizes(self) -> tuple[int, int]:
        budget = self.domain.max_evaluations
        population = self.options.population or (100 if budget is None else min(100, max(4, budget // 3)))
        return population, self.options.sample or min(10, max(2, population // 2))

    def propose(self, rng: np.random.Generator) -> Proposal:
        """Random architectures until the population is full, then mutants."""
        population, sample = self._sizes()
        alive = self.successes[-population:]
        if not self.initial_design_done(population, successes=1):
            return Proposal(self.draw_unseen(rng), "initial")
        rivals = rng.choice(len(alive), size=min(sample, len(alive)), replace=False)
        mutant = self._parent([alive[i] for i in sorted(rivals)])
        for _ in range(_MUTATIONS):
            mutant = self.domain.space.mutate(mutant, rng)
            if not self.is_seen(mutant):
                return Proposal(mutant, "evolution")
        return Proposal(self.draw_unseen(rng), "random")

    def _parent(self, rivals: Sequence[Observation]) -> Architecture:
        """The winner of a tournament."""
        return max(rivals, key=lambda o: self.score(o.outcome)).trial.architecture


class MORegularizedEvolution(RegularizedEvolution):
    """Regularised evolution for several objectives: a tournament is won by the order of NSGA-II among the rivals.

    That is by the number of the front, then by crowding distance; what breaks a limit loses to what keeps all of them.
    With one objective it is `RegularizedEvolution`.

    References: Real et al., AAAI 2019, arXiv 1802.01548 (ageing); Deb et al., IEEE Transactions on Evolutionary
    Computation 6(2), 2002 (order).
    """

    supports_objectives = True

    def _parent(self, rivals: Sequence[Observation]) -> Architecture:
        return pareto_best_first(self, rivals)[0]
