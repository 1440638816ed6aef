"""WeakNAS: a line of weak predictors, each trained on what the one before it thought good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

import losses
import surrogates
from po_nas.core.trial import Observation
from po_nas.methods.candidates.candidate_set import POOL_OPTION, CandidateSet, candidates
from po_nas.methods.rounds import RoundOptions, RoundSearcher
from po_nas.spaces.base import Architecture

__all__ = ["WeakNAS"]


class _Options(RoundOptions):
    top: PositiveInt = Field(100, description="best-predicted unseen candidates, of which some are drawn at random")
    predictor: Literal["mlp", "gcn"] = Field("mlp", description="predictor network")
    steps: PositiveInt = Field(300, description="most optimiser steps of a training")
    pool: PositiveInt | None = Field(None, description=POOL_OPTION)


class WeakNAS(RoundSearcher):
    """Narrows the space down by predictors that need only be good where the search is.

    Each round trains a small network by squared error on all evaluations, predicts every candidate, and evaluates
    `queries` of them drawn uniformly from the `top` best predicted that are unseen. Drawing at random from the top, and
    not taking the very best, spreads the training data of the next predictor over the good region. `top` counts
    architectures; the paper takes the best 1,000 of 423,624.

    References: Wu et al., Stronger NAS with Weaker Predictors, NeurIPS 2021, arXiv 2102.10490.
    """

    Options = _Options
    options: _Options

    def candidates(
        self, known: Sequence[Observation], usable: Sequence[Observation], rng: np.random.Generator
    ) -> Sequence[Architecture]:
        return self._pool.architectures

    def predict(
        self, candidates: Sequence[Architecture], usable: Sequence[Observation], seed: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        network, steps = surrogates.network(self.options.predictor), self.options.steps
        members = self.train(network, usable, losses.get("mse"), steps=steps, seed=seed)
        scores: NDArray[np.float64] = members.predict(self._pool.encodings.graphs)[0].double().numpy()
        return scores

    def order(
        self, scores: NDArray[np.float64], known: Sequence[Observation], rng: np.random.Generator
    ) -> NDArray[np.intp]:
        """The best-predicted unknown candidates in random order, the others after them."""
        o = self.options
        scores[self._pool.positions(self.domain.identity(ob.trial.architecture) for ob in known)] = -np.inf
        # More than the top is needed only where all of it has been evaluated within the round.
        kept = np.argsort(-scores, kind="stable")[: 2 * o.top + o.queries]
        rng.shuffle(kept[: o.top])
        return kept

    @property
    def _pool(self) -> CandidateSet:
        return candidates(self.domain, self.seed, self.options.pool)
