"""Predictor-guided evolution: a network trained on what has been evaluated ranks mutants of good architectures."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

import losses
import surrogates
from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.spaces.base import Architecture
from surrogates.encodings import Encodings
from surrogates.training import TrainingSettings, train_members

__all__ = ["PWLNAS"]

_ATTEMPTS = 20
"""Mutations tried for each candidate wanted, before the rest of the candidates are drawn at random."""


class _Options(MethodOptions):
    initial: PositiveInt = Field(20, description="random architectures evaluated first")
    queries: PositiveInt = Field(10, description="evaluations between two trainings of the predictor")
    candidates: PositiveInt = Field(100, description="mutants that the predictor ranks")
    population: PositiveInt = Field(20, description="youngest evaluated architectures, from which parents are drawn")
    tournament: PositiveInt = Field(5, description="architectures drawn, of which the best becomes a parent")
    predictor: str = Field("gcn", description="predictor network: gcn, gat, mlp, pinat")
    members: PositiveInt = Field(1, description="networks trained; their standardised predictions are averaged")
    steps: PositiveInt = Field(500, description="most optimiser steps of a training")
    loss: str = Field("piecewise", description="what the predictor is trained under")
    loss_options: dict[str, object] = Field(
        default_factory=dict, description="hyper-parameters of the loss, such as {warm: hr, focus: warp, threshold: 50}"
    )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        # Before the first evaluation, not at the first training.
        surrogates.network(self.predictor)
        losses.get(self.loss, **self.loss_options)
        return self


class PWLNAS(Searcher):
    """Evolution guided by a neural predictor that is trained afresh on all evaluations after every `queries` of them.

    After `initial` random architectures, each round trains `members` networks under `loss` (default: the piecewise
    loss, a ranking loss first and a top-weighted one once data suffice), mutates tournament winners among the youngest
    `population` until there are `candidates` unseen mutants, and evaluates the `queries` that are predicted best.
    Failed trials are left out of the training. Losses that need fractions get accuracies in percent divided by 100; a
    signal that is no accuracy is mapped to [0.1, 0.9] by its range so far.

    Only evaluated architectures count as seen, so that a mutant once ranked low may be found again. A round depends on
    the seed, its number and the evaluations before it.

    References: Ji et al., Loss Functions for Predictor-based Neural Architecture Search, ICCV 2025, arXiv 2506.05869;
    the loop is that of Wei et al., GMAENAS, as far as that paper describes it.
    """

    Options = _Options
    options: _Options

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A random architecture at first, then the best-predicted unseen candidate of the round."""
        o = self.options
        if self.asked < o.initial:
            return Proposal(self.draw_unseen(rng), "initial")
        number = (self.asked - o.initial) // o.queries
        known = [ob for ob in self.observations if ob.trial.number < o.initial + number * o.queries]
        usable = [ob for ob in known if ob.outcome.validation is not None]
        if len(usable) < 2:
            return Proposal(self.draw_unseen(rng), "random")
        for architecture in self._round(number, known, usable):
            if not self.is_seen(architecture):
                return Proposal(architecture, "predictor")
        return Proposal(self.draw_unseen(rng), "random")

    _cached: tuple[Hashable, list[Architecture]] | None = None

    def _round(self, number: int, known: Sequence[Observation], usable: Sequence[Observation]) -> list[Architecture]:
        """Candidates of a round, best predicted first; kept until another round, or more of its data, comes."""
        key = (number, tuple((ob.trial.number, ob.trial.architecture, ob.outcome.validation) for ob in known))
        if self._cached is None or self._cached[0] != key:
            sequence = np.random.SeedSequence(self.seed, spawn_key=(number, 2))
            candidates = self._candidates(known, usable, np.random.default_rng(sequence))
            scores = self._predict(usable, candidates, int(sequence.generate_state(1)[0]))
            self._cached = key, [candidates[i] for i in np.argsort(-scores, kind="stable")]
        return self._cached[1]

    def _candidates(
        self, known: Sequence[Observation], usable: Sequence[Observation], rng: np.random.Generator
    ) -> list[Architecture]:
        o, space, identity = self.options, self.domain.space, self.domain.identity
        alive = usable[-o.population :]
        taken = {identity(ob.trial.architecture) for ob in known}
        found: list[Architecture] = []
        for _ in range(_ATTEMPTS * o.candidates):
            if len(found) == o.candidates:
                return found
            drawn = rng.choice(len(alive), size=min(o.tournament, len(alive)), replace=False)
            parent = max((alive[i] for i in sorted(drawn)), key=lambda ob: self.score(ob.outcome))
            mutant = space.mutate(parent.trial.architecture, rng)
            if identity(mutant) not in taken:
                taken.add(identity(mutant))
                found.append(mutant)
        # The neighbourhoods of a small space are soon used up.
        for _ in range(_ATTEMPTS * o.candidates):
            if len(found) == o.candidates:
                break
            drawn_one = space.sample(rng)
            if identity(drawn_one) not in taken:
                taken.add(identity(drawn_one))
                found.append(drawn_one)
        return found

    def _predict(
        self, usable: Sequence[Observation], candidates: Sequence[Architecture], seed: int
    ) -> NDArray[np.float64]:
        if not candidates:
            return np.zeros(0)
        o, space = self.options, self.domain.space
        told = [ob.trial.architecture for ob in usable]
        inputs = Encodings.stack(space.encode_graph(a) for a in [*told, *candidates])
        targets = _fractions(np.array([self.score(ob.outcome) for ob in usable]))
        n = len(told)
        members = train_members(
            surrogates.network(o.predictor),
            inputs[:n],
            torch.arange(n).expand(o.members, n),
            torch.from_numpy(targets).float().expand(o.members, n),
            losses.get(o.loss, **o.loss_options),
            TrainingSettings(steps=o.steps),
            seed=seed,
            budget=self.domain.max_evaluations,
        )
        found: NDArray[np.float64] = members.standardized(inputs[n:], inputs[:n]).mean(0).double().numpy()
        return found


def _fractions(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n,), higher = better, on the scale of accuracies in [0, 1]."""
    low, high = float(scores.min()), float(scores.max())
    if low >= 0 and high <= 1:
        return scores
    if low >= 0 and high <= 100:
        return scores / 100
    return 0.1 + 0.8 * (scores - low) / (high - low) if high > low else np.full_like(scores, 0.5)
