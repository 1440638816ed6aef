"""PO-NAS: Bayesian optimisation on training-free metrics whose weights are learned for each architecture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from po_nas.core.searcher import Domain, MethodOptions
from po_nas.core.trial import Observation
from po_nas.methods.candidates import require_metrics
from po_nas.methods.clusters import clusters
from po_nas.methods.grown_features import grown
from po_nas.methods.growth import Added, EvolutionOptions, Growth, Judged, extended
from po_nas.methods.metric_bo import Features, MetricBO, MetricBOOptions, described, prior_mean, without_metrics
from po_nas.methods.pool_encoder import EncoderOptions, pool_encoder
from po_nas.methods.scaled import scaled_features
from po_nas.spaces.base import Architecture
from surrogates.averaged_gp import AveragedGP, Mixture, Priors, Structure
from surrogates.encodings import Encodings
from surrogates.isolation import single_thread
from surrogates.pool_kernels import Component, Linear, Varying

__all__ = ["PONAS"]

Weights = Literal["architecture", "global", "equal"]


_PRIORS = Priors(noise=(-1.5, 1.0))
"""More noise than `gp_metrics` assumes: chosen, as the smaller start, on seeds that no table of the docs uses."""


class _Options(EvolutionOptions, EncoderOptions, MetricBOOptions):
    initial: PositiveInt = Field(4, description="architectures evaluated before the model has a say")
    by_metrics: NonNegativeInt = Field(2, description="how many of them the metrics pick; the others are random")
    weights: Weights = Field(
        "architecture",
        description="weights of the metrics: of each architecture its own, one vector for all, or equal ones",
    )


class PONAS(MetricBO):
    """Bayesian optimisation on a fusion of metrics whose weights are learned for each architecture.

    The model of the objective is f(A) = c + Σ_m w_m(A) z_m(A) + g(A). z_m are metrics (normal scores); the weights
    w_m(A) have the same prior mean for all trusted metrics, so that without data the order is their mean rank; what
    they add to it is one vector for all architectures plus a Gaussian process over the architecture's operation
    sequences, so alike architectures trust the same metrics. g, a Gaussian process over encodings and metrics, is what
    no weighting of metrics explains: with data it may overrule them. All of it is one Gaussian process with a sum of
    kernels, so the posterior of the weights is exact; how much of each part there is, and whether metrics are to be
    believed at all, is averaged over (`surrogates.averaged_gp`). The acquisition function is averaged likewise.

    In a space that cannot be enumerated candidates evolve from trial `evolve_from` on (`po_nas.methods.growth`),
    ordered by the mean of the model; offspring are judged by metrics that an encoder predicts, which is pre-trained on
    the candidates the first time.

    This replaces the paper's network, which has no uncertainty and needs tens of evaluations, and its greedy argmax;
    ``po_nas_paper`` is the method as published. `trust` tells the weights of any candidate.

    Reference: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS
    2025, OpenReview mVh0lIsdUl (weights per architecture); Ament et al., NeurIPS 2023, arXiv 2310.20708 (acquisition).
    """

    Options = _Options
    options: _Options

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        self._kept: tuple[Added, Features] | None = None

    def model(self, features: Features) -> AveragedGP:
        """Similarities, and weights of metrics."""
        return _model(features, self.options.weights)

    def features(self) -> Features:
        """The candidates, with what evolution and evaluations from elsewhere have added by now."""
        added = self._growth.now()
        if self._kept is None or self._kept[0] is not added:
            self._kept = added, self._grown(added)
        return self._kept[1]

    @cached_property
    def _base(self) -> Features:
        return super().features()

    @cached_property
    def _growth(self) -> Growth:
        return Growth(self, self._base.pool, self.options, self._judge)

    def _grown(self, added: Added) -> Features:
        z = scaled_features(self._base).others(added.values)
        return grown(self._base, added.architectures, z, extended(self._base.pool, added, self.domain.identity))

    def _judge(self, number: int, added: Added, told: Sequence[Observation]) -> Judged | None:
        """Means of the model; of offspring with predicted metrics."""
        if sum(o.outcome.validation is not None for o in told) < 2:
            return None
        scaled, space, features = scaled_features(self._base), self.domain.space, self._grown(added)

        def means(candidates: Features) -> NDArray[np.float64]:
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number, 8)))
            return np.asarray(self.predict(candidates, rng, told).mean.numpy(), dtype=np.float64)

        def predict(offspring: Sequence[Architecture]) -> NDArray[np.float64]:
            encoder = pool_encoder(scaled, self.options)
            predicted = encoder.predict_metrics(Encodings.stack(space.encode_graph(a) for a in offspring))
            z = np.concatenate([scaled.others(added.values), predicted.double().numpy()])
            # The pool knows where evaluated architectures are; nobody asks where offspring are.
            everything = grown(self._base, (*added.architectures, *offspring), z, features.pool)
            return means(everything)[-len(offspring) :]

        return Judged(means(features), predict)

    def explain(self) -> dict[str, Any] | None:
        """The weights of the metrics for the incumbent and for clusters of alike candidates, and what was believed."""
        if len(self.successes) < 2:
            return None
        features, rng = self.features(), np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, 5)))
        with single_thread():
            found = self.predict(features, rng)
            weights = _weights(features, self.model(features), found)
        best = max(self.successes, key=lambda o: self.score(o.outcome)).trial.architecture
        place = features.pool.candidates.position[self.domain.identity(best)]
        rows = [{"label": "incumbent", "architectures": 1, "weights": weights[place].tolist()}]
        for cluster in clusters(features, rng):
            mean = weights[cluster.members].mean(axis=0).tolist()
            rows.append({"label": cluster.label, "architectures": len(cluster.members), "weights": mean})
        return {
            "trust": {
                "metrics": list(features.pool.names),
                "source": require_metrics(self.domain, "po_nas").origin,
                "rows": rows,
                "believed": float(1.0 - found.structures[0]),
            },
            "metrics": self._growth.counts(),
        }

    def trust(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Posterior mean of the weight of each metric for each candidate (m, k), given what has been told."""
        features = self.features()
        with single_thread():
            found = self.predict(features, rng)
            return _weights(features, self.model(features), found)


@lru_cache(maxsize=4)
def _model(features: Features, weights: Weights) -> AveragedGP:
    vectors, sequences, metrics = described(features)
    components: list[Component] = [vectors, sequences, metrics]
    hypotheses = [without_metrics(features, 0.5), Structure(tuple(components), mean=True, probability=0.25)]
    if weights != "equal":
        components.append(linear := Linear(features.z))
        if weights == "architecture":
            components.append(Varying(linear, sequences))
        hypotheses.append(Structure(tuple(components), mean=True, probability=0.25))
    return AveragedGP(components, features.fused, _PRIORS, hypotheses)


def _weights(features: Features, model: AveragedGP, found: Mixture) -> NDArray[np.float64]:
    """Weights (m, k): the prior's, and what each linear component has learnt, averaged over the settings."""
    observed = list(found.observed)
    prior = features.prior / (prior_mean(features.z, features.prior).std() or 1.0)
    total = torch.zeros(features.z.shape, dtype=torch.float64)
    for k, weight in enumerate(found.weights.tolist()):
        total += weight * float(found.scales.means[k]) * torch.as_tensor(prior)
        for c, component in enumerate(model.components):
            share = weight * float(found.scales.shares[k, c])
            if isinstance(component, Linear):
                z = component.features[observed].double()
                total += share / component.unit * (found.dual[k] @ z)
            elif isinstance(component, Varying):
                z = component.linear.features[observed].double()
                near = component.similarity.kernel(component.similarity.columns(observed), found.scales.lengths[k, c])
                total += share / component.linear.unit * (near.double() @ (found.dual[k][:, None] * z))
    return np.asarray(total)
