"""NPENAS-NP: a graph predictor ranks the mutants of the best architectures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field, PositiveInt

import losses
import surrogates
from po_nas.core.trial import Observation
from po_nas.methods.rounds import RoundOptions, RoundSearcher
from po_nas.spaces.base import Architecture
from surrogates.encodings import Encodings

__all__ = ["NPENAS"]


class _Options(RoundOptions):
    initial: PositiveInt = Field(10, description="random architectures evaluated first")
    parents: PositiveInt = Field(10, description="best architectures so far, mutated in turn")
    candidates: PositiveInt = Field(100, description="mutants that the predictor ranks")
    steps: PositiveInt = Field(500, description="most optimiser steps of a training")


class NPENAS(RoundSearcher):
    """Evolution of the best `parents` architectures, steered by a graph network that predicts accuracy.

    Each round trains one graph convolutional network by squared error on all evaluations, makes `candidates` mutants of
    the best architectures, each of them in turn, and evaluates the `queries` that are predicted best. The network and
    its training are this package's (`surrogates.networks.gcn`), not the paper's three layers of isomorphism network.

    References: Wei et al., NPENAS: Neural Predictor Guided Evolution for Neural Architecture Search, IEEE TNNLS 2022,
    arXiv 2003.12857 (the variant NPENAS-NP).
    """

    Options = _Options
    options: _Options

    def rank(
        self, known: Sequence[Observation], usable: Sequence[Observation], sequence: np.random.SeedSequence
    ) -> list[Architecture]:
        """Mutants of the best, best predicted first."""
        o, rng = self.options, np.random.default_rng(sequence)
        candidates = self.mutants_of_best(known, usable, o.parents, o.candidates, rng)
        if not candidates:
            return []
        told, seed = self.encodings(usable), int(sequence.generate_state(1)[0])
        network = surrogates.network("gcn")
        members = self.train(network, told, usable, losses.get("mse"), members=1, steps=o.steps, seed=seed)
        inputs = Encodings.stack(self.domain.space.encode_graph(a) for a in candidates)
        return [candidates[i] for i in np.argsort(-members.predict(inputs)[0].numpy(), kind="stable")]
