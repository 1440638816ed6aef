"""NPENAS-NP: a graph predictor ranks the mutants of the best architectures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

import losses
import surrogates
from po_nas.core.trial import Observation
from po_nas.methods.rounds import MutantOptions, MutantSearcher
from po_nas.spaces.base import Architecture

__all__ = ["NPENAS"]


class _Options(MutantOptions):
    parents: PositiveInt = Field(10, description="best architectures so far, mutated in turn")
    steps: PositiveInt = Field(500, description="most optimiser steps of a training")


class NPENAS(MutantSearcher):
    """Evolution of the best `parents` architectures, steered by a graph network that predicts accuracy.

    Each round trains one graph convolutional network by squared error on all evaluations, makes `candidates` mutants of
    the best architectures, each of them in turn, and evaluates the `queries` that are predicted best. The network and
    its training are this package's (`surrogates.networks.gcn`), not the paper's three layers of isomorphism network.

    References: Wei et al., NPENAS: Neural Predictor Guided Evolution for Neural Architecture Search, IEEE TNNLS 2022,
    arXiv 2003.12857 (the variant NPENAS-NP).
    """

    Options = _Options
    options: _Options

    def predict(
        self, candidates: Sequence[Architecture], usable: Sequence[Observation], seed: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        network, steps = surrogates.network("gcn"), self.options.steps
        members = self.train(network, usable, losses.get("mse"), steps=steps, seed=seed)
        scores: NDArray[np.float64] = members.predict(self.encodings(candidates))[0].numpy()
        return scores
