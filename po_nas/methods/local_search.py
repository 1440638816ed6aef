"""Local search with restarts."""

from __future__ import annotations

import numpy as np
from pydantic import Field, PositiveInt

from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation

__all__ = ["LocalSearch"]


class _Options(MethodOptions):
    initial: PositiveInt = Field(10, description="random architectures to start from")


class LocalSearch(Searcher):
    """Evaluates the unseen neighbours of the incumbent in random order and moves as soon as one is better.

    When every neighbour of the incumbent has been seen, the climb is over and a new one starts at a random
    architecture; its incumbent is the best architecture of that climb alone.

    References: White, Nolen and Savani, Exploring the Loss Landscape in Neural Architecture Search, UAI 2021,
    arXiv 2005.02960.
    """

    Options = _Options
    options: _Options

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
