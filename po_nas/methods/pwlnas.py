"""Predictor-guided evolution: a network trained on what has been evaluated ranks mutants of good architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

import losses
import surrogates
from po_nas.core.searcher import Domain, MethodOptions
from po_nas.core.trial import Observation
from po_nas.methods.rounds import RoundOptions, RoundSearcher, mutants
from po_nas.spaces.base import Architecture
from surrogates.labels import scaled

__all__ = ["PWLNAS"]


class _Options(RoundOptions):
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


class PWLNAS(RoundSearcher):
    """Evolution guided by a neural predictor that is trained afresh on all evaluations after every `queries` of them.

    After `initial` random architectures, each round trains `members` networks under `loss` (default: the piecewise
    loss, a ranking loss first and a top-weighted one once data suffice), mutates tournament winners among the youngest
    `population` until there are `candidates` unseen mutants, and evaluates the `queries` that are predicted best.
    Failed trials are left out of the training. Losses that need fractions get accuracies in percent divided by 100; a
    signal that is no accuracy is mapped to [0.1, 0.9] by its range so far.

    References: Ji et al., Loss Functions for Predictor-based Neural Architecture Search, ICCV 2025, arXiv 2506.05869;
    the loop is that of Wei et al., GMAENAS, as far as that paper describes it.
    """

    Options = _Options
    options: _Options

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        # A loss that lacks something says so before the first evaluation, of whose values only the range is known.
        loss = losses.get(self.options.loss, **self.options.loss_options)
        scaled(torch.zeros(2, device="cpu"), loss, domain.max_evaluations)

    def candidates(
        self, known: Sequence[Observation], usable: Sequence[Observation], rng: np.random.Generator
    ) -> Sequence[Architecture]:
        o = self.options
        alive, scores = usable[-o.population :], self.scores(usable)[-o.population :]

        def winner() -> Architecture:
            drawn = rng.choice(len(alive), size=min(o.tournament, len(alive)), replace=False)
            best: Observation = alive[max(sorted(drawn), key=lambda i: float(scores[i]))]
            return best.trial.architecture

        return mutants(self.domain, known, o.candidates, winner, rng)

    def predict(
        self, candidates: Sequence[Architecture], usable: Sequence[Observation], seed: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        o, told = self.options, self.encodings(ob.trial.architecture for ob in usable)
        network, loss = surrogates.network(o.predictor), losses.get(o.loss, **o.loss_options)
        members = self.train(network, usable, loss, members=o.members, steps=o.steps, seed=seed, inputs=told)
        scores: NDArray[np.float64] = members.standardized(self.encodings(candidates), told).mean(0).double().numpy()
        return scores
