"""WeakNAS: a line of weak predictors, each trained on what the one before it thought good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt

import losses
import surrogates
from po_nas.core.trial import Observation
from po_nas.methods.candidates import POOL_OPTION, candidates
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

    def rank(
        self, known: Sequence[Observation], usable: Sequence[Observation], sequence: np.random.SeedSequence
    ) -> list[Architecture]:
        """The best-predicted candidates in random order, the others after them."""
        o = self.options
        listed = candidates(self.domain, self.seed, o.pool)
        told, seed = self.encodings(usable), int(sequence.generate_state(1)[0])
        network = surrogates.network(o.predictor)
        members = self.train(network, told, usable, losses.get("mse"), members=1, steps=o.steps, seed=seed)
        scores = members.predict(listed.encodings)[0].double().numpy()
        scores[listed.positions(self.domain.identity(ob.trial.architecture) for ob in known)] = -np.inf
        order = np.argsort(-scores, kind="stable")
        # More than the top is needed only where all of it has been evaluated within the round.
        kept = order[: 2 * o.top + o.queries]
        np.random.default_rng(sequence).shuffle(kept[: o.top])
        return [listed.architectures[i] for i in kept]
