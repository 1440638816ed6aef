"""Bayesian optimisation over a list of candidates with training-free metrics: what gp_metrics and po_nas share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement, UpperConfidenceBound
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.methods.candidates import POOL_OPTION, MetricPool, metric_pool, require_metrics
from po_nas.methods.choice import failures_as_worst, highest
from po_nas.methods.transferred import PREFIX
from po_nas.spaces.ngrams import NGramEncoder
from surrogates.acquisition import Marginals
from surrogates.averaged_gp import AveragedGP, Mixture, Structure
from surrogates.gaussian_process import normal_scores
from surrogates.isolation import single_thread
from surrogates.pool_kernels import Similarity

__all__ = ["TRUSTED", "Features", "MetricBO", "MetricBOOptions", "log_error"]

TRUSTED = (
    *("params", "flops", "nwot", "naswot_authors", "jacov", "synflow", "zen"),
    *("swap", "meco", "zico", "az_expressivity", "az_progressivity", "az_trainability"),
)
"""Metrics whose mean rank orders architectures before anything is known; others enter with weights that are learned.

Chosen from published comparisons (NAS-Bench-Suite-Zero, arXiv 2210.03230; AZ-NAS, arXiv 2403.19232; MeCo, NeurIPS
2023; SWAP, arXiv 2403.04161): those that rarely order the wrong way.
"""
_FAILED = -3.0
"""Normal score of a metric that could not be computed although nearly all others have it."""
_NEARLY_ALL = 0.9
_DIVERSE_AMONG = 60
_JITTER = 0.1

Acquisition = Literal["logei", "ucb", "thompson", "greedy"]


class MetricBOOptions(MethodOptions):
    """Options of every method that is built on `MetricBO`."""

    initial: PositiveInt = Field(6, description="architectures evaluated before the model has a say")
    by_metrics: NonNegativeInt = Field(3, description="how many of them the metrics pick; the others are random")
    metrics: tuple[str, ...] | None = Field(
        None, description="names of the metrics; default: all that half of the candidates have"
    )
    acquisition: Acquisition = Field(
        "logei", description="logei: log expected improvement; ucb; thompson: a draw; greedy: the highest mean"
    )
    beta: PositiveFloat = Field(1.0, description="for ucb: mean + sqrt(beta) * standard deviation")
    pool: PositiveInt | None = Field(None, description=POOL_OPTION)


@dataclass(frozen=True, eq=False)
class Features:
    """Candidates described: metrics as normal scores `z` (m, k), vector encoding, operation sequences; the prior order.

    `fused` (m,) is the mean normal score under the weights `prior` (k,), standardised. All trusted metrics together
    weigh as much as what is known of each other task.
    """

    pool: MetricPool
    z: NDArray[np.float64]
    prior: NDArray[np.float64]
    fused: NDArray[np.float64]
    vectors: NDArray[np.float64]
    sequences: NDArray[np.float64]


@lru_cache(maxsize=2)
def _features(pool: MetricPool) -> Features:
    architectures, space = pool.candidates.architectures, pool.candidates.space
    z = np.stack([_scores(column) for column in pool.values.T], axis=1)
    prior = _prior(pool.names)
    fused = prior_mean(z, prior)
    vectors = np.stack([space.encode_vector(architecture) for architecture in architectures])
    sequences = NGramEncoder(space, architectures, 3).references.toarray()
    return Features(pool, z, prior, (fused - fused.mean()) / (fused.std() or 1.0), vectors, sequences)


def _prior(names: Sequence[str]) -> NDArray[np.float64]:
    """Weights (k,) that sum to 1."""
    transferred = np.array([name.startswith(PREFIX) for name in names])
    trusted = np.isin(names, TRUSTED)
    if not trusted.any():
        trusted = ~transferred
    weights = transferred + trusted / max(1, trusted.sum())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def prior_mean(z: NDArray[np.float64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weighted mean (m,) of normal scores `z` (m, k)."""
    alike = prior[prior > 0]
    if np.ptp(alike) == 0:
        # The plain mean, to the last bit.
        return np.asarray(z[:, prior > 0].mean(axis=1), dtype=np.float64)
    return np.asarray(z @ prior, dtype=np.float64)


def _scores(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal scores of a metric. What hardly anybody lacks has failed and is bad, what many lack is unknown."""
    known = np.isfinite(column)
    found = np.full(len(column), _FAILED if known.mean() >= _NEARLY_ALL else 0.0)
    found[known] = normal_scores(column[known])
    return found


def log_error(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Targets (n,) for a Gaussian process: minus the logarithm of the distance to the best, standardised.

    Accuracies have a long tail of failures and a dense top. Distances are in interquartile ranges, plus 0.3 so that
    the noise at the top is not blown up as ranks would; what is 2.5 deviations below the mean is no worse than that.
    """
    quartiles = np.percentile(y, [25, 75])
    spread = float(quartiles[1] - quartiles[0]) or float(np.ptp(y)) or 1.0
    found = -np.log((y.max() - y) / spread + 0.3)
    return np.asarray(np.maximum((found - found.mean()) / (found.std() or 1.0), -2.5), dtype=np.float64)


class MetricBO(Searcher):
    """Bayesian optimisation whose model sees encodings and training-free metrics of a list of candidates.

    The list is the whole space where it can be enumerated, else a sample. The first evaluations are picked by the mean
    rank of the trusted metrics, spread over the space, and at random. Subclasses say what the model is made of.
    """

    Options: ClassVar[type[MethodOptions]] = MetricBOOptions
    supports_transfer = True
    options: MetricBOOptions

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        require_metrics(self.domain, type(self).__name__, self.options.metrics)

    @abstractmethod
    def model(self, features: Features) -> AveragedGP:
        """The model of a list of candidates; the same object for the same list, so that columns are shared."""

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A candidate of the initial design, or the maximum of the acquisition function."""
        with single_thread():
            features = self.features()
            if self.begun < self.options.by_metrics:
                return self._by_metrics(features, rng)
            if self.begun < self.options.initial or len(self.successes) < 2:
                return Proposal(self.draw_unseen(rng), "random")
            return self._acquire(features, rng)

    def features(self) -> Features:
        """The candidates of this search, described."""
        o = self.options
        return _features(metric_pool(self.domain, self.seed, type(self).__name__, o.metrics, o.pool))

    def _by_metrics(self, features: Features, rng: np.random.Generator) -> Proposal:
        """The candidate, of those the metrics put on top, that is farthest from what is seen."""
        own = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0, 4)))
        fused = features.fused + _JITTER * own.normal(size=len(features.fused))
        best = np.argsort(-fused, kind="stable")[:_DIVERSE_AMONG]
        listed = features.pool.candidates
        top = [int(i) for i in best if not self.is_seen(listed.architectures[i])]
        seen = listed.positions(self._seen)
        if not top:
            return Proposal(self.draw_unseen(rng), "random")
        if not seen:
            return Proposal(listed.architectures[top[0]], "metrics")
        apart = np.abs(features.vectors[top][:, None] - features.vectors[seen][None]).sum(axis=2).min(axis=1)
        return Proposal(listed.architectures[top[int(np.argmax(apart))]], "metrics")

    def predict(
        self, features: Features, rng: np.random.Generator, told: Sequence[Observation] | None = None
    ) -> Mixture:
        """The model's predictions for all candidates, given what has been told (or that part) and what is pending."""
        listed, told = features.pool.candidates, self.observations if told is None else told
        known = [o for o in told if self.domain.identity(o.trial.architecture) in listed.position]
        observed = [listed.position[self.domain.identity(o.trial.architecture)] for o in known]
        waiting = listed.positions(self.domain.identity(t.architecture) for t in self.pending.values())
        scores = failures_as_worst(np.array([self.score(o.outcome) for o in known]))
        return self.model(features).predict(observed, log_error(scores), rng, waiting)

    def _acquire(self, features: Features, rng: np.random.Generator) -> Proposal:
        listed = features.pool.candidates
        found = self.predict(features, rng)
        values = self._values(found, rng)
        values[listed.positions(self._seen)] = -np.inf
        place = highest(values, rng)
        if place is None:
            return Proposal(self.draw_unseen(rng), "random")
        return Proposal(listed.architectures[place], "acquisition")

    def _values(self, found: Mixture, rng: np.random.Generator) -> NDArray[np.float64]:
        """The acquisition function (m,), averaged over the settings of the model's scales."""
        o, logs = self.options, found.weights.log()[:, None]
        if o.acquisition == "greedy":
            return _array(found.mean)
        if o.acquisition == "thompson":
            k = int(rng.choice(len(found.weights), p=found.weights.numpy()))
            noise = torch.as_tensor(rng.normal(size=found.means.shape[1]))
            return _array(found.means[k] + found.variances[k].sqrt() * noise)
        values = []
        for mean, variance in zip(found.means, found.variances, strict=True):
            marginals = Marginals(mean, variance)
            if o.acquisition == "ucb":
                values.append(UpperConfidenceBound(marginals, beta=o.beta)(marginals.everything))
            else:
                # The observations are noisy: the incumbent is the best mean, not the luckiest value.
                incumbent = mean[list(found.observed)].max()
                values.append(LogExpectedImprovement(marginals, best_f=incumbent)(marginals.everything))
        stacked = torch.stack(values)
        if o.acquisition == "ucb":
            return _array(found.weights @ stacked)
        return _array(torch.logsumexp(stacked + logs, dim=0))


@lru_cache(maxsize=2)
def described(features: Features) -> tuple[Similarity, Similarity, Similarity]:
    """Similarity of vector encodings, of operation sequences, and of metrics; columns are shared by all searches."""
    return Similarity(features.vectors), Similarity(features.sequences), Similarity(features.z)


def without_metrics(features: Features, probability: float) -> Structure:
    """The hypothesis that metrics are worth nothing: encodings alone."""
    return Structure(described(features)[:2], mean=False, probability=probability)


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return np.array(values.numpy(), dtype=np.float64)
