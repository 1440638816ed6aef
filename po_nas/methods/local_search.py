"""Local search with restarts."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from pydantic import Field, PositiveInt

from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.spaces.base import Architecture

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

    def propose(self, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Neighbours of the climb's incumbent, or a restart."""
        proposals: list[Proposal] = []
        chosen: set[Hashable] = set()

        def take(architecture: Architecture, origin: str) -> None:
            proposals.append(Proposal(architecture, origin))
            chosen.add(self.domain.identity(architecture))

        while len(proposals) < n and self.asked + len(proposals) < self.options.initial:
            take(self.draw_unseen(rng, chosen), "initial")
        if len(proposals) == n:
            return proposals
        climb: list[Observation] = []
        for observation in self.successes:
            if observation.trial.origin == "restart":
                climb = []
            climb.append(observation)
        if climb and not any(t.origin == "restart" for t in self.pending.values()):
            best = max(climb, key=lambda o: self.score(o.outcome)).trial.architecture
            near = self.domain.space.neighbours(best)
            for position in rng.permutation(len(near)):
                if len(proposals) == n:
                    break
                if not self.is_seen(near[position]) and self.domain.identity(near[position]) not in chosen:
                    take(near[position], "neighbour")
        if not proposals:
            take(self.draw_unseen(rng, chosen), "restart")
        return proposals
