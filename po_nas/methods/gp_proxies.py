"""Gaussian-process Bayesian optimisation over encoding and proxies, without learned fusion."""

from __future__ import annotations

from collections.abc import Hashable

from po_nas.methods.candidates.candidate_set import require_proxies
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.methods.proxy_bo import ProxyBO
from surrogates.marginalised_gp import MarginalisedGP, ModelHypothesis, Priors

__all__ = ["GPProxies"]


class GPProxies(ProxyBO):
    """Bayesian optimisation with a Gaussian process over encodings and proxies.

    The kernel is a sum of three: similarity of the vector encoding, of operation sequences, and of all proxy scores
    (normal scores); single numeric choices of a declared space, such as a learning rate, are a fourth. The prior mean
    is the mean rank of the trusted proxies, believed to a degree that the data decide. Hyperparameters are marginalised
    (`surrogates.marginalised_gp`), and the acquisition function with them. It is the baseline for methods that learn
    how to fuse proxies.

    References: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023,
    arXiv 2310.20708; Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS 2012, arXiv
    1206.2944 (marginalising the hyperparameters in the acquisition function).
    """

    _extended: tuple[ProxyFeatures, tuple[Hashable, ...], ProxyFeatures] | None = None

    def features(self) -> ProxyFeatures:
        """The candidates, and what was evaluated outside of their sample, so that the model learns from all of it."""
        base = super().features()
        trials = [*(o.trial for o in self.observations), *self.pending.values()]
        outside = {
            self.domain.identity(t.architecture): t.architecture
            for t in trials
            if self.domain.identity(t.architecture) not in base.candidates.position
        }
        if not outside:
            return base
        if self._extended is None or self._extended[0] is not base or self._extended[1] != tuple(outside):
            others = tuple(outside.values())
            source = require_proxies(self.domain, type(self).__name__)
            candidates = base.candidates.extended(others, source.values(others, base.candidates.names))
            z = base.normaliser.transform(candidates.scores[len(base.candidates) :])
            self._extended = base, tuple(outside), base.extended(others, z, candidates)
        return self._extended[2]

    def model(self, features: ProxyFeatures) -> MarginalisedGP:

        def make() -> MarginalisedGP:
            parts = features.similarities
            hypotheses = (features.without_proxies(0.5), ModelHypothesis(parts, mean=True, probability=0.5))
            return MarginalisedGP(parts, features.fused, Priors(), hypotheses)

        return self.domain.cache.get("gp_proxies model", (features,), None, make)
