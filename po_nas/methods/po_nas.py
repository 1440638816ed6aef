"""PO-NAS: Bayesian optimisation on training-free metrics whose weights are learned for each architecture."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from po_nas.methods.clusters import clusters
from po_nas.methods.metric_bo import Features, MetricBO, MetricBOOptions, described, model_of
from surrogates.averaged_gp import AveragedGP, Mixture, Priors
from surrogates.isolation import single_thread
from surrogates.pool_kernels import Component, Linear, Varying

__all__ = ["PONAS"]

Weights = Literal["architecture", "global", "equal"]


class _Options(MetricBOOptions):
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

    This replaces the paper's network, which has no uncertainty and needs tens of evaluations, and its greedy argmax;
    ``po_nas_paper`` is the method as published. `trust` tells the weights of any candidate.

    Reference: Lin and Luo, Per-Architecture Training-Free Metric Optimization for Neural Architecture Search, NeurIPS
    2025, OpenReview mVh0lIsdUl (weights per architecture); Ament et al., NeurIPS 2023, arXiv 2310.20708 (acquisition).
    """

    Options = _Options
    options: _Options

    def model(self, features: Features) -> AveragedGP:
        """Similarities, and weights of metrics."""
        return _model(features, self.options.weights)

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
                "source": "" if self.domain.metrics is None else self.domain.metrics.origin,
                "rows": rows,
                "believed": found.believed,
            }
        }

    def trust(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Posterior mean of the weight of each metric for each candidate (m, k), given what has been told."""
        features = self.features()
        with single_thread():
            found = self.predict(features, rng)
            return _weights(features, self.model(features), found)


@lru_cache(maxsize=8)
def _model(features: Features, weights: Weights) -> AveragedGP:
    vectors, sequences, metrics = described(features)
    components: list[Component] = [vectors, sequences, metrics]
    if weights != "equal":
        components.append(linear := Linear(features.z))
        if weights == "architecture":
            components.append(Varying(linear, sequences))
    return model_of(components, features, Priors())


def _weights(features: Features, model: AveragedGP, found: Mixture) -> NDArray[np.float64]:
    """Weights (m, k): the prior's, and what each linear component has learnt, averaged over the settings."""
    observed = list(found.observed)
    prior = features.trusted / features.trusted.sum() / (features.z[:, features.trusted].mean(axis=1).std() or 1.0)
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
