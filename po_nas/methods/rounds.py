"""Searches in rounds: train a predictor on all evaluations, rank candidates, evaluate the best, train again."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

import losses
from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.spaces.base import Architecture
from surrogates.encodings import Encodings
from surrogates.members import Members
from surrogates.networks.base import NetworkFactory
from surrogates.training import TrainingSettings, train_members

__all__ = ["MutantOptions", "MutantSearcher", "RoundOptions", "RoundSearcher", "fractions", "mutants", "top_parents"]

_ATTEMPTS = 20
"""Mutations tried for each candidate wanted, before the rest of the candidates are drawn at random."""


class RoundOptions(MethodOptions):
    """What every search in rounds can be told."""

    initial: PositiveInt = Field(20, description="random architectures evaluated first")
    queries: PositiveInt = Field(10, description="evaluations between two trainings of the predictor")


class RoundSearcher(Searcher):
    """After `initial` random architectures, candidates are made and ranked anew for every `queries` evaluations.

    Only evaluated architectures count as seen, so that a candidate once ranked low may be found again. A round depends
    on the seed, its number and the evaluations before it; failed ones are not learned from.
    """

    options: RoundOptions

    _cached: tuple[Hashable, Sequence[Architecture]] | None = None

    @abstractmethod
    def candidates(
        self, known: Sequence[Observation], usable: Sequence[Observation], rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """What a round ranks.

        Args:
            known: The evaluations before the round, warm-start ones included.
            usable: Those with a search signal, two or more.
            rng: The generator of the round.
        """

    @abstractmethod
    def predict(
        self, candidates: Sequence[Architecture], usable: Sequence[Observation], seed: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Scores (n,) of the candidates by a predictor that is trained on `usable` with `seed`."""

    def order(
        self, scores: NDArray[np.float64], known: Sequence[Observation], rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """Places of the candidates, the one to evaluate first at the front: by predicted score."""
        return np.argsort(-scores, kind="stable")

    def rank(
        self, known: Sequence[Observation], usable: Sequence[Observation], sequence: np.random.SeedSequence
    ) -> Sequence[Architecture]:
        """Candidates of a round in the order of evaluation; `sequence` is the round's source of randomness."""
        rng = np.random.default_rng(sequence)
        candidates = self.candidates(known, usable, rng)
        if not candidates:
            return []
        scores = self.predict(candidates, usable, int(sequence.generate_state(1)[0]), rng)
        return [candidates[i] for i in self.order(scores, known, rng)]

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the best-ranked unseen candidate of the round."""
        o = self.options
        if not self.initial_design_done(o.initial):
            return Proposal(self.draw_unseen(rng), "initial")
        start = self.initial_trials(o.initial)
        number = (self.asked - start) // o.queries
        known = [ob for ob in self.observations if ob.trial.number < start + number * o.queries]
        usable = [ob for ob in known if ob.outcome.validation is not None]
        if len(usable) < 2:
            return Proposal(self.draw_unseen(rng), "random")
        for architecture in self._round(number, known, usable):
            if not self.is_seen(architecture):
                return Proposal(architecture, "predictor")
        return Proposal(self.draw_unseen(rng), "random")

    def _round(
        self, number: int, known: Sequence[Observation], usable: Sequence[Observation]
    ) -> Sequence[Architecture]:
        """What `rank` says; kept until another round, or more of its data, comes."""
        key = (number, tuple((ob.trial.number, ob.trial.architecture, ob.outcome.validation) for ob in known))
        if self._cached is None or self._cached[0] != key:
            self._cached = key, self.rank(known, usable, self.seed_sequence("round", number))
        return self._cached[1]

    def encodings(self, architectures: Iterable[Architecture]) -> Encodings:
        """Graph encodings of architectures."""
        return Encodings.stack(self.domain.space.encode_graph(architecture) for architecture in architectures)

    def train(
        self,
        network: NetworkFactory,
        usable: Sequence[Observation],
        loss: losses.Loss,
        *,
        steps: int,
        seed: int,
        members: int = 1,
        inputs: Encodings | None = None,
    ) -> Members:
        """Networks trained on `usable`, by default on graph encodings; the search signal as `fractions`."""
        inputs, n = inputs or self.encodings(ob.trial.architecture for ob in usable), len(usable)
        targets = torch.from_numpy(fractions(self.scores(usable))).float()
        return train_members(
            network,
            inputs,
            torch.arange(n).expand(members, n),
            targets.expand(members, n),
            loss,
            TrainingSettings(steps=steps),
            seed=seed,
            budget=self.domain.max_evaluations,
        )


class MutantOptions(RoundOptions):
    """What searches that rank mutants of the best can be told."""

    initial: PositiveInt = Field(10, description="random architectures evaluated first")
    parents: PositiveInt = Field(5, description="best architectures so far, mutated in turn")
    candidates: PositiveInt = Field(100, description="mutants that are ranked")


class MutantSearcher(RoundSearcher):
    """Ranks `candidates` mutants of the best `parents` architectures, each of them in turn."""

    options: MutantOptions

    def candidates(
        self, known: Sequence[Observation], usable: Sequence[Observation], rng: np.random.Generator
    ) -> Sequence[Architecture]:
        turn = itertools.cycle(top_parents(self.scores(usable), usable, self.options.parents))
        return mutants(self.domain, known, self.options.candidates, lambda: next(turn), rng)


def mutants(
    domain: Domain,
    known: Sequence[Observation],
    count: int,
    parent: Callable[[], Architecture],
    rng: np.random.Generator,
) -> list[Architecture]:
    """`count` different mutants of what `parent` gives, none of them known; random ones when mutants run out."""
    space, identity = domain.space, domain.identity
    taken = {identity(ob.trial.architecture) for ob in known}
    found: list[Architecture] = []

    def mutant() -> Architecture:
        return space.mutate(parent(), rng)

    # The neighbourhoods of a small space are soon used up.
    for draw in (mutant, lambda: space.sample(rng)):
        for _ in range(_ATTEMPTS * count):
            if len(found) == count:
                return found
            drawn = draw()
            if identity(drawn) not in taken:
                taken.add(identity(drawn))
                found.append(drawn)
    return found


def top_parents(scores: NDArray[np.float64], usable: Sequence[Observation], count: int) -> list[Architecture]:
    """The `count` best of n evaluated architectures by their scores (n,), the best first."""
    return [usable[place].trial.architecture for place in np.argsort(-scores, kind="stable")[:count]]


def fractions(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n,), higher = better, on the scale of accuracies in [0, 1].

    Percentages are divided by 100; a signal that is no accuracy is mapped to [0.1, 0.9] by its range.
    """
    low, high = float(scores.min()), float(scores.max())
    if low >= 0 and high <= 1:
        return scores
    if low >= 0 and high <= 100:
        return scores / 100
    return 0.1 + 0.8 * (scores - low) / (high - low) if high > low else np.full_like(scores, 0.5)
