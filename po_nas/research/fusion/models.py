"""The models of the study: those of the package as they are, and with something changed.

Changed are the order in the prior mean (an oracle's), the initial design, or the prior (learned from other spaces).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.searcher import Domain, MethodOptions, Proposal
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.methods.po_nas import PONAS
from po_nas.methods.po_nas_transfer import PONASTransfer
from po_nas.methods.proxy_bo import GPProxies, ProxyBO, ProxyBOOptions
from po_nas.research.fusion.design import Model
from po_nas.research.fusion.other_spaces import SpacePrior
from surrogates.labels import standard_scale
from surrogates.marginalised_gp import MarginalisedGP, ModelHypothesis, Priors

__all__ = ["searcher"]

F64 = NDArray[np.float64]
_BELIEVED = Priors(means=(0.5, 0.75, 1.0))


class _GivenOrder(GPProxies):
    """`GPProxies` whose prior mean is a given order of the candidates (m,)."""

    def __init__(self, domain: Domain, *, seed: int, options: ProxyBOOptions, order: F64, model: Model) -> None:
        super().__init__(domain, seed=seed, options=options)
        self._order, self._model = order, model

    def features(self) -> ProxyFeatures:
        base = super().features()
        return self.domain.cache.get(
            "features of an order", (base, self._order), None, lambda: replace(base, fused=self._order)
        )

    def _by_proxies(self, features: ProxyFeatures, rng: np.random.Generator) -> Proposal:
        return super()._by_proxies(features if self._model.first else super().features(), rng)

    def model(self, features: ProxyFeatures) -> MarginalisedGP:
        if not self._model.believed:
            return super().model(features)

        def make() -> MarginalisedGP:
            parts = features.similarities
            hypotheses = (
                ModelHypothesis(parts[:-1], mean=True, probability=0.5),
                ModelHypothesis(parts, mean=True, probability=0.5),
            )
            return MarginalisedGP(parts, features.fused, _BELIEVED, hypotheses)

        return self.domain.cache.get("believed model", (features,), None, make)


class _EncodingsAlone(GPProxies):
    """`GPProxies` that sees no proxy; those pick their part of the initial design all the same."""

    def model(self, features: ProxyFeatures) -> MarginalisedGP:
        def make() -> MarginalisedGP:
            parts = features.similarities[:-1]
            return MarginalisedGP(parts, None, Priors(), (ModelHypothesis(parts, mean=False, probability=1.0),))

        return self.domain.cache.get("encodings alone", (features,), None, make)


class _Contrasting(PONAS):
    """`PONAS` whose initial design tests the proxies instead of believing them.

    What proxies pick is, in turn, near the two ends of the direction in which the trusted proxies disagree most, among
    the upper half by mean rank.
    """

    def _by_proxies(self, features: ProxyFeatures, rng: np.random.Generator) -> Proposal:
        z = features.z[:, features.prior > 0]
        if z.shape[1] < 2:
            return super()._by_proxies(features, rng)
        consensus = standard_scale(features.fused).targets
        rest = z - np.outer(consensus, consensus @ z / len(z))
        direction = np.linalg.svd(rest - rest.mean(axis=0), full_matrices=False)[0][:, 0]
        # The sign of a singular vector is arbitrary.
        direction *= np.sign(direction[np.argmax(np.abs(direction))])
        disagreement = standard_scale(direction).targets * (-1 if len(self.seen) % 2 else 1)
        order = np.where(consensus >= np.median(consensus), disagreement, disagreement.min() - 1)
        return super()._by_proxies(replace(features, fused=order), rng)


class _TaughtByOtherSpaces(PONAS):
    """`PONAS` with the order of proxies, the trust in it and the priors that other spaces teach."""

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions, prior: SpacePrior) -> None:
        super().__init__(domain, seed=seed, options=options)
        self._space_prior = prior

    @cached_property
    def _base(self) -> ProxyFeatures:
        base, prior = self._untaught, self._space_prior
        weights = prior.weights(base)
        return self.domain.cache.get("features of other spaces", (base, prior), None, lambda: base.reweighted(weights))

    def _prior(self) -> tuple[Priors, float]:
        return self._space_prior.priors, self._space_prior.nothing


def searcher(
    model: Model,
    domain: Domain,
    seed: int,
    design: tuple[int, int],
    order: F64 | None = None,
    prior: SpacePrior | None = None,
) -> ProxyBO:
    """A search by one of the study's models.

    Args:
        model: The model.
        domain: The candidates.
        seed: Of the search.
        design: Size of the initial design, and how many of it the proxies pick.
        order: The order (m,) that `model` asks for, of all candidates in their order.
        prior: What other spaces teach, where `model` asks for it.
    """
    given: dict[str, Any] = {"initial": design[0], "initial_by_proxy": design[1]}
    if model.predictor:
        given["predictor"] = {"alone": not model.proxies, "loss": model.loss}
    if model.method != "gp_proxies":
        given |= {"transfer": model.transfer, "learned_weights": model.learned_weights}
        if prior is not None:
            taught = PONAS.Options.model_validate(given)
            return _TaughtByOtherSpaces(domain, seed=seed, options=taught, prior=prior)
        kind = PONASTransfer if model.method == "po_nas_transfer" else _Contrasting if model.contrast else PONAS
        return kind(domain, seed=seed, options=kind.Options.model_validate(given))
    options = ProxyBOOptions.model_validate(given)
    if not model.proxies:
        return _EncodingsAlone(domain, seed=seed, options=options)
    if order is None:
        return GPProxies(domain, seed=seed, options=options)
    return _GivenOrder(domain, seed=seed, options=options, order=order, model=model)
