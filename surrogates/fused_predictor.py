"""A Gaussian process on proxy scores and on what a neural predictor says: both in one surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from losses.base import Loss
from po_nas.errors import ConfigError, SurrogateDataError
from surrogates.base import Posterior, Surrogate
from surrogates.candidate_kernels import Component, Linear, Similarity, VaryingCoefficients
from surrogates.encodings import Encodings
from surrogates.ensemble import DeepEnsemble
from surrogates.marginalised_gp import MarginalisedGP, ModelHypothesis
from surrogates.training import TrainingSettings

__all__ = ["FusedPredictor", "Parts", "out_of_fold"]

Parts = Literal["both", "predictor", "proxies"]
"""What a model fuses: a predictor and proxies, or one of them."""
F64 = NDArray[np.float64]
_STEPS, _WIDTH = 150, 32
"""Of the networks: as much as tens of labels can use."""


class FusedPredictor(Surrogate):
    """Proxies weighted per architecture, and a neural predictor under any loss, in one Gaussian process.

    f(A) = c + b · h(A) + a · z̄(A) + Σ_m w_m(A) z_m(A) + g(A). h are the predictions of a `DeepEnsemble`, those of
    architectures that it was fitted to out of fold, so that b, a hyperparameter from 0 to 1, is what they are worth
    where nothing is known; z_m are proxy scores (normal scores on the reference set) and z̄ their mean; the weights w_m
    are Gaussian processes over counts of operations; g is one over the encodings, the counts and the proxies. Whether
    proxies count at all, their weights, b, a and all scales are averaged over (`MarginalisedGP`). Without proxy scores
    in the encodings there is the predictor alone. With fewer than two architectures a fold nothing can be left out, and
    the model goes without the predictor.

    Targets: any unit, as for `DeepEnsemble`. Standard deviations are those of f, without the noise of an evaluation;
    `Posterior.samples` are the means under the hyperparameters that were drawn.

    References: Wolpert, Stacked generalization, Neural Networks 5, 1992 (out-of-fold predictions); Lin and Luo, NeurIPS
    2025, OpenReview mVh0lIsdUl (weights per architecture); Ji et al., ICCV 2025, arXiv 2506.05869 (piecewise loss).

    Args:
        network: Of the ensemble.
        members: Its number of networks.
        loss: What they are trained under.
        loss_options: Its options.
        network_options: Of the networks; default: a width of 32.
        settings: Of the training; default: at most 150 steps.
        parts: ``both``; ``predictor``: proxies count neither in the model nor as inputs of the networks; ``proxies``:
            no network is trained.
        proxy_inputs: Whether proxies are inputs of the networks, too, where both are fused.
    """

    def __init__(
        self,
        network: str = "gcn",
        *,
        members: int = 5,
        loss: str | Loss = "piecewise",
        loss_options: Mapping[str, object] | None = None,
        network_options: Mapping[str, object] | None = None,
        settings: TrainingSettings | Mapping[str, float] | None = None,
        parts: Parts = "both",
        proxy_inputs: bool = True,
    ) -> None:
        if parts not in get_args(Parts):
            raise ConfigError("parts", parts, f"must be one of {', '.join(get_args(Parts))}")
        self.ensemble = DeepEnsemble(
            network,
            members=members,
            loss=loss,
            loss_options=loss_options,
            network_options={"width": _WIDTH} if network_options is None else network_options,
            settings={"steps": _STEPS} if settings is None else settings,
        )
        self.parts: Parts = parts
        self.proxy_inputs = proxy_inputs
        self.predictor_weight = 0.0
        """b in the last posterior: how far the predictor was believed."""
        self._seed = 0
        self._inputs: Encodings | None = None
        self._reference: Encodings | None = None
        self._targets = np.empty(0)
        self._offset, self._unit = 0.0, 1.0

    def learn(
        self,
        inputs: Encodings,
        targets: torch.Tensor,
        *,
        seed: int,
        budget: int | None,
        reference: Encodings,
        warm_start: bool,
    ) -> None:
        """See `Surrogate.fit`; a warm start is one of the networks."""
        if self.parts == "proxies" and inputs.proxy_scores is None:
            raise SurrogateDataError("encodings come without proxy scores, and parts='proxies' fuses nothing else")
        if self.parts != "proxies":
            # First, so that what its loss refuses leaves the last fit as it was.
            self.ensemble.fit(
                self._network_inputs(inputs, reference),
                targets,
                seed=seed,
                budget=budget,
                reference=self._network_inputs(reference, reference),
                warm_start=warm_start,
            )
        self._seed, self._inputs, self._reference = seed, inputs, reference
        values = targets.cpu().double().numpy()
        self._offset, self._unit = float(values.mean()), float(values.std()) or 1.0
        self._targets = (values - self._offset) / self._unit

    def predict(self, inputs: Encodings) -> Posterior:
        assert self._inputs is not None
        assert self._reference is not None
        n, told = len(self._inputs), [self._inputs.to("cpu"), inputs.to("cpu")]
        reference = self._reference.to("cpu")
        descriptions = [
            (np.concatenate([describe(part) for part in told]), describe(reference)) for describe in (_flat, _counts)
        ]
        encodings: list[Component] = [Similarity(own, Similarity(known).scale) for own, known in descriptions]
        mean, components = None, encodings
        hypotheses = [ModelHypothesis(tuple(encodings), False, 0.5)]
        if self.parts != "predictor" and reference.proxy_scores is not None:
            z, known = (
                np.concatenate([_normal(part, self._reference) for part in parts]) for parts in (told, [reference])
            )
            linear, alike = Linear(z, Linear(known).norm), encodings[-1]
            assert isinstance(alike, Similarity)
            similar = [*encodings, Similarity(z, Similarity(known).scale)]
            components = [*similar, linear, VaryingCoefficients(linear, alike)]
            spread = float(known.mean(axis=1).std()) or 1.0
            mean = np.asarray((z.mean(axis=1) - known.mean()) / spread, dtype=np.float64)
            hypotheses.append(ModelHypothesis(tuple(similar), True, 0.25))
            hypotheses.append(ModelHypothesis(tuple(components), True, 0.25))
        predictor = None
        if (known_to_it := self.ensemble.out_of_fold) is not None:
            found = self.ensemble.standardized(self._network_inputs(inputs, self._reference))
            predictor = torch.cat([known_to_it, found]).cpu().double().numpy()
        model = MarginalisedGP(components, mean, None, hypotheses)
        # The same generator each time: an answer is a function of the fit and of the architecture alone.
        mixture = model.predict(range(n), self._targets, np.random.default_rng(self._seed), (), predictor)
        self.predictor_weight = mixture.predictor_weight
        means, weights = mixture.means[:, n:], mixture.weights[:, None]
        center = (weights * means).sum(0)
        variance = (weights * (mixture.variances[:, n:] + means.square())).sum(0) - center.square()
        scaled = (center * self._unit + self._offset, variance.clamp_min(1e-12).sqrt() * self._unit)
        samples = means * self._unit + self._offset
        return Posterior(*(part.to(inputs.device, torch.float32) for part in (*scaled, samples)))

    def _network_inputs(self, inputs: Encodings, reference: Encodings) -> Encodings:
        """What the networks read; proxies as normal scores, whose tails are no longer than those of the features."""
        if inputs.proxy_scores is None:
            return inputs
        if self.parts == "predictor" or not self.proxy_inputs:
            return replace(inputs, proxy_scores=None)
        normal = torch.as_tensor(_normal(inputs, reference), dtype=torch.float32, device=inputs.device)
        return replace(inputs, proxy_scores=normal)


def _normal(inputs: Encodings, reference: Encodings) -> F64:
    """Proxy scores (k, p) as normal scores on the reference set; ties share the middle of their places."""
    assert inputs.proxy_scores is not None
    assert reference.proxy_scores is not None
    known = np.sort(reference.proxy_scores.cpu().double().numpy(), axis=0)
    asked = inputs.proxy_scores.cpu().double().numpy()
    found = np.empty_like(asked)
    for column, (sorted_ones, values) in enumerate(zip(known.T, asked.T, strict=True)):
        places = np.searchsorted(sorted_ones, values, "left") + np.searchsorted(sorted_ones, values, "right")
        found[:, column] = ndtri((places / 2 + 0.5) / (len(known) + 1))
    return found


def out_of_fold(ensemble: DeepEnsemble, inputs: Encodings, told: NDArray[np.intp]) -> F64 | None:
    """What a fitted ensemble says of k architectures (k,), out of fold of those that it was fitted to.

    Args:
        ensemble: Fitted to ``inputs[told]``.
        inputs: All architectures.
        told: Places of those that it was fitted to, in their order.

    Returns:
        Standardised on the reference set of the fit; None where it was fitted to too few to leave some out.
    """
    if ensemble.out_of_fold is None:
        return None
    found = ensemble.standardized(inputs).cpu().double().numpy()
    found[told] = ensemble.out_of_fold.cpu().double().numpy()
    return np.asarray(found, dtype=np.float64)


def _flat(inputs: Encodings) -> F64:
    """Nodes, adjacency and edges (k, ·), zero where there is none."""
    mask = inputs.mask.float()
    nodes = inputs.nodes * mask[:, :, None]
    adjacency = inputs.adjacency * mask[:, :, None] * mask[:, None, :]
    edges = inputs.edges * (adjacency > 0)[..., None]
    return torch.cat([part.flatten(1) for part in (nodes, adjacency, edges)], dim=1).double().numpy()


def _counts(inputs: Encodings) -> F64:
    """How often each feature of a node and of an edge occurs (k, ·)."""
    mask = inputs.mask.float()
    real = (inputs.adjacency * mask[:, :, None] * mask[:, None, :] > 0)[..., None]
    nodes = (inputs.nodes * mask[:, :, None]).sum(1)
    return torch.cat([nodes, (inputs.edges * real).sum((1, 2))], dim=1).double().numpy()
