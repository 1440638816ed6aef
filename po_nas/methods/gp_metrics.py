"""Gaussian-process Bayesian optimisation over encoding and training-free metrics, without learned fusion."""

from __future__ import annotations

from functools import lru_cache

from po_nas.methods.metric_bo import Features, MetricBO, described, without_metrics
from surrogates.averaged_gp import AveragedGP, Priors, Structure

__all__ = ["GPMetrics"]


class GPMetrics(MetricBO):
    """Bayesian optimisation with a Gaussian process over encodings and metrics.

    The kernel is a sum of three: similarity of the vector encoding, of operation sequences, and of all metrics (normal
    scores). The prior mean is the mean rank of the trusted metrics, believed to a degree that the data decide. Scales
    are averaged over (`surrogates.averaged_gp`), and the acquisition function with them. It is the bar for methods that
    learn how to fuse metrics.

    References: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023,
    arXiv 2310.20708; Snoek et al., Practical Bayesian Optimization of Machine Learning Algorithms, NeurIPS 2012, arXiv
    1206.2944 (averaging the acquisition function over the scales).
    """

    def model(self, features: Features) -> AveragedGP:
        """Three similarities."""
        return _model(features)


@lru_cache(maxsize=2)
def _model(features: Features) -> AveragedGP:
    parts = described(features)
    hypotheses = (without_metrics(features, 0.5), Structure(parts, mean=True, probability=0.5))
    return AveragedGP(parts, features.fused, Priors(), hypotheses)
