"""What a neural predictor, trained on the evaluations of a search, says of the candidates of that search."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

import losses
import surrogates
from po_nas.core.searcher import MethodOptions, Searcher
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from surrogates.encodings import Encodings
from surrogates.ensemble import DeepEnsemble
from surrogates.fused_predictor import out_of_fold
from surrogates.isolation import single_thread
from surrogates.labels import log_error_scale, scaled

__all__ = ["FusedPredictions", "PredictorOptions"]

F64 = NDArray[np.float64]
_LABELS = (0.1, 0.9)
"""Of the worst and the best evaluation."""
_REFERENCE = 500
"""Candidates on which the outputs of the networks get mean 0 and deviation 1."""
_KEPT = 3
"""Trained ensembles that are remembered: candidates that evolved ask for those of earlier trials again."""


class PredictorOptions(MethodOptions):
    """The predictor that `po_nas` fuses with proxies."""

    name: str = Field("gcn", description="predictor network: gcn, gat, mlp, pinat")
    loss: str = Field("piecewise", description="what it is trained under; piecewise switches by number of labels")
    loss_options: dict[str, object] = Field(default_factory=dict, description="options of the loss")
    network_options: dict[str, object] = Field({"width": 32}, description="options of the network")
    members: PositiveInt = Field(5, description="networks of the ensemble")
    steps: PositiveInt = Field(150, description="most optimiser steps of a training")
    every: PositiveInt = Field(5, description="evaluations between two trainings")
    proxies: bool = Field(True, description="the proxies are inputs of the networks, too")
    alone: bool = Field(False, description="the model has the predictor and encodings, and no proxies")

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        # Before the first evaluation, not at the first training.
        surrogates.network(self.name, **self.network_options)
        losses.get(self.loss, **self.loss_options)
        return self


class FusedPredictions:
    """Predictions of an ensemble for the rows of a `ProxyFeatures`, out of fold where it knows the label.

    It is trained on the first n evaluations, n the largest multiple of `PredictorOptions.every`, and so is a function
    of these, of the seed of the search and of the options alone; what was evaluated since is predicted by networks that
    have not seen it. Labels are `log_error` of the search signal, mapped to [0.1, 0.9] so that all losses take them.
    """

    def __init__(self, searcher: Searcher, options: PredictorOptions) -> None:
        self._searcher, self.options = searcher, options
        # What the loss cannot work with, it says before the first evaluation.
        loss = losses.get(options.loss, **options.loss_options)
        scaled(torch.tensor(_LABELS, device="cpu"), loss, searcher.domain.max_evaluations)
        self._trained: OrderedDict[Hashable, DeepEnsemble] = OrderedDict()
        self._predicted: tuple[tuple[ProxyFeatures, DeepEnsemble], F64] | None = None

    def __call__(self, features: ProxyFeatures, observed: Sequence[int], scores: F64) -> F64 | None:
        """Predictions (m,), of mean about 0 and deviation at most about 1; None while there are too few evaluations.

        Args:
            features: m candidates.
            observed: Places of n evaluated ones, in the order of telling.
            scores: Their search signals (n,), higher is better, all finite.
        """
        n = len(observed) // self.options.every * self.options.every
        if n < 2 or len(set(observed[:n])) < 2:
            return None
        told = np.asarray(observed[:n], dtype=np.intp)
        with single_thread():
            ensemble = self._fitted(features, told, scores[:n])
            if self._predicted is None or self._predicted[0] != (features, ensemble):
                found = out_of_fold(ensemble, self._inputs(features), told)
                if found is None:
                    return None
                self._predicted = (features, ensemble), found
        return self._predicted[1]

    def _inputs(self, features: ProxyFeatures) -> Encodings:
        graphs = features.graphs
        with_proxies = self.options.proxies and not self.options.alone
        return graphs if with_proxies else replace(graphs, proxy_scores=None)

    def _fitted(self, features: ProxyFeatures, told: NDArray[np.intp], scores: F64) -> DeepEnsemble:
        key = (features.base, features.z.shape[1], tuple(told.tolist()), tuple(scores.tolist()))
        if key not in self._trained:
            self._trained[key] = self._train(features, told, scores)
            if len(self._trained) > _KEPT:
                self._trained.popitem(last=False)
        return self._trained[key]

    def _train(self, features: ProxyFeatures, told: NDArray[np.intp], scores: F64) -> DeepEnsemble:
        o, inputs = self.options, self._inputs(features)
        targets = log_error_scale(scores).targets
        low, high = float(targets.min()), float(targets.max())
        worst, best = _LABELS
        labels = worst + (best - worst) * (targets - low) / (high - low) if high > low else np.full_like(targets, 0.5)
        size = len(features.base)
        chosen = np.random.default_rng(0).choice(size, min(size, _REFERENCE), replace=False)
        ensemble = DeepEnsemble(
            o.name,
            members=o.members,
            loss=o.loss,
            loss_options=o.loss_options,
            network_options=o.network_options,
            settings={"steps": o.steps},
        )
        sequence = self._searcher.seed_sequence("predictor", len(told))
        ensemble.fit(
            inputs[torch.from_numpy(told)],
            torch.from_numpy(labels).float(),
            seed=int(sequence.generate_state(1)[0]),
            budget=self._searcher.domain.max_evaluations,
            reference=inputs[torch.from_numpy(chosen)],
        )
        return ensemble
