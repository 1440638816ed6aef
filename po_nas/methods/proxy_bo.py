"""Bayesian optimisation over candidates with proxy scores: what methods share, and the one without learned fusion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from po_nas import methods
from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.errors import SearchExhaustedError
from po_nas.methods.acquisition import acquisition_field, beta_field
from po_nas.methods.candidates.candidate_set import POOL_OPTION, CandidateSet, require_proxies, scored_candidates
from po_nas.methods.candidates.low_fidelities import LowFidelities, LowPrediction, with_proxy
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.methods.objectives import Marginal, Posterior, front_values, known_values, log_feasibility
from surrogates.acquisition import MarginalAcquisition, argmax_random_ties, marginal_values
from surrogates.isolation import single_thread
from surrogates.labels import Scale, impute_failures, log_error_scale
from surrogates.marginalised_gp import MarginalisedGP, Mixture, ModelHypothesis, Priors

__all__ = ["GPProxies", "ProxyBO", "ProxyBOOptions", "log_error"]

_DIVERSE_AMONG = 60
_JITTER = 0.1


class ProxyBOOptions(MethodOptions):
    """Options of every method that is built on `ProxyBO`."""

    deprecated: ClassVar[Mapping[str, str]] = {"by_metrics": "initial_by_proxy", "metrics": "proxies"}

    initial: PositiveInt = Field(4, description="size of the initial design")
    initial_by_proxy: NonNegativeInt = Field(2, description="how many of it the proxies pick; the others are random")
    proxies: tuple[str, ...] | None = Field(
        None, description="names of the proxies; default: all that half of the candidates have"
    )
    acquisition: Literal[MarginalAcquisition, "thompson", "greedy"] = acquisition_field(
        "logei", "ucb", "thompson", "greedy"
    )
    beta: float = beta_field(1.0)
    pool: PositiveInt | None = Field(None, description=POOL_OPTION)
    fidelities: bool = Field(
        False,
        description="evaluate at lower fidelities too, where they are worth their cost; an architecture climbs one "
        "step whenever it is chosen",
    )


def log_error(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Targets (n,) for a Gaussian process, as `surrogates.labels.log_error_scale` has them."""
    return log_error_scale(y).targets


class ProxyBO(Searcher):
    """Bayesian optimisation whose model sees encodings and proxy scores of a list of candidates.

    The list is the whole space where it can be enumerated, else a sample. The initial design is picked by the mean rank
    of the trusted proxies, spread over the space, and at random. With several objectives the acquisition function is
    the noisy expected hypervolume improvement, whatever the option says; limits on what only an evaluation tells
    multiply it by the probability that they are kept (`po_nas.methods.objectives`). Subclasses say what the model is
    made of.

    With the option `fidelities` all of that is about the value at the full fidelity, and what lower ones have told is
    one more mean function of it (`po_nas.methods.candidates.low_fidelities`). At first lower fidelities are searched
    alone, for the cost of two full evaluations, or a quarter of a budget of evaluations if that is less; then an
    evaluation at a lower one competes with a full one, each by its gain per cost. An architecture is evaluated at its
    next fidelity whenever it is chosen. With several objectives, limits that only an evaluation tells, a predictor, or
    another acquisition function, what lower fidelities have told is one more proxy, and nothing competes.
    """

    Options: ClassVar[type[MethodOptions]] = ProxyBOOptions
    supports_transfer = True
    supports_objectives = True
    options: ProxyBOOptions
    has_predictor = False
    """Whether `learned` says something."""

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        require_proxies(self.domain, self._called, self.options.proxies)
        # Budgets that are too small are refused before anything is spent.
        self._ladder = LowFidelities(self, self.options.initial) if self.uses_fidelities(self.options) else None

    @classmethod
    def uses_fidelities(cls, options: MethodOptions) -> bool:
        return isinstance(options, ProxyBOOptions) and options.fidelities

    @property
    def _called(self) -> str:
        return methods.name_of(type(self)) or type(self).__name__

    @abstractmethod
    def model(self, features: ProxyFeatures) -> MarginalisedGP:
        """The model of a list of candidates; the same object for the same list, so that columns are shared."""

    def propose(self, rng: np.random.Generator) -> Proposal:
        """A candidate of the initial design, or the maximum of the acquisition function."""
        with single_thread():
            found = self._chosen(self.features(), rng)
        return found if self._ladder is None else replace(found, fidelity=self._ladder.next_step(found.architecture))

    def _chosen(self, features: ProxyFeatures, rng: np.random.Generator) -> Proposal:
        lower = self._ladder is not None
        if not self.initial_design_done(self.options.initial_by_proxy):
            return self._by_proxies(features, rng)
        if not self.initial_design_done(self.options.initial, successes=0 if lower else 2):
            return Proposal(self.draw_unseen(rng), "random")
        if len(self.successes) >= 2:
            return self._acquire(features, rng)
        return self._before_full_evaluations(features, rng)

    def _before_full_evaluations(self, features: ProxyFeatures, rng: np.random.Generator) -> Proposal:
        """While fewer than two architectures have been fully evaluated: one at a lower fidelity, or one that climbs."""
        assert self._ladder is not None
        compares, candidates = self._compares_fidelities, features.candidates
        low = self._low_prediction(features, rng) if compares else None
        best = self._ladder.to_promote(low) if low is not None or not compares else None
        if best is None and low is not None:
            values = self._ladder.acquisition_values(candidates, low, self._values(low.mixture, rng))
            values[candidates.positions(self._unavailable)] = -np.inf
            if np.any(np.isfinite(values)):
                return self._highest(candidates, values, rng)
        if best is None:
            try:
                return Proposal(self.draw_unseen(rng), "random")
            except SearchExhaustedError:
                best = self._ladder.to_promote(None)
                if best is None:
                    raise
        return Proposal(best, "promotion")

    @property
    def _compares_fidelities(self) -> bool:
        """Whether evaluations at lower fidelities compete with full ones by their gain per cost."""
        goals = self.domain.goals
        one_value = not goals.several and not goals.measured_limits and not self.has_predictor
        return one_value and self.options.acquisition == "logei"

    def _low_prediction(self, features: ProxyFeatures, rng: np.random.Generator) -> LowPrediction | None:
        """What is expected of the candidates at lower fidelities; None without them, or without values there."""
        return None if self._ladder is None else self._ladder.prediction(features, self.model(features), rng)

    def features(self) -> ProxyFeatures:
        """The candidates of this search, described."""
        o = self.options
        candidates = scored_candidates(self.domain, self.seed, self._called, o.proxies, o.pool)
        return self.domain.cache.get("features", (candidates,), None, lambda: ProxyFeatures.of(candidates))

    def _by_proxies(self, features: ProxyFeatures, rng: np.random.Generator) -> Proposal:
        """The candidate, of those the proxies put on top, that is farthest from what is seen."""
        fused = features.fused + _JITTER * self.stream("ties").normal(size=len(features.fused))
        best = np.argsort(-fused, kind="stable")[:_DIVERSE_AMONG]
        candidates = features.candidates
        top = [int(i) for i in best if not self.is_seen(candidates.architectures[i])]
        seen = candidates.positions(self.seen)
        if not top:
            return Proposal(self.draw_unseen(rng), "random")
        if not seen:
            return Proposal(candidates.architectures[top[0]], "proxies")
        apart = np.abs(features.vectors[top][:, None] - features.vectors[seen][None]).sum(axis=2).min(axis=1)
        return Proposal(candidates.architectures[top[int(np.argmax(apart))]], "proxies")

    def predict(
        self,
        features: ProxyFeatures,
        rng: np.random.Generator,
        told: Sequence[Observation] | None = None,
        low: LowPrediction | None = None,
    ) -> Mixture:
        """The model's predictions for all candidates, given what was `told` (default: all) and what is pending.

        What lower fidelities expect, `low`, is one more mean function.
        """
        known, observed, waiting = self._placed(features.candidates, self.observations if told is None else told)
        scores = impute_failures(np.array([self.signal(o.outcome) for o in known]))
        learned = self.learned(features, observed, scores) if low is None else low.mean
        return self.model(features).predict(observed, log_error(scores), rng, waiting, learned)

    def learned(
        self, features: ProxyFeatures, observed: Sequence[int], scores: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """What a predictor says of all rows of `features` (m,), as `MarginalisedGP.predict` asks for it; None: nothing.

        Args:
            features: The candidates.
            observed: Places of n evaluated ones, in the order of telling.
            scores: Their search signals (n,), or values of another objective; higher is better, failures at the worst.
        """
        return None

    def _placed(
        self, candidates: CandidateSet, told: Sequence[Observation]
    ) -> tuple[list[Observation], list[int], list[int]]:
        """The observations that are among the candidates, their places, and those of what is pending."""
        known = [o for o in told if self.domain.identity(o.trial.architecture) in candidates.position]
        observed = [candidates.position[self.domain.identity(o.trial.architecture)] for o in known]
        return (
            known,
            observed,
            candidates.positions(
                self.domain.identity(t.architecture) for t in self.pending.values() if t.fidelity is None
            ),
        )

    def _posterior(self, features: ProxyFeatures, rng: np.random.Generator) -> Posterior:
        """What predicts a metric for all candidates."""
        known, observed, waiting = self._placed(features.candidates, self.successes)

        def posterior(scale: Scale) -> Marginal:
            learned = None
            if self.domain.goals.several:
                learned = self.learned(features, observed, scale.inverse(scale.targets))
            mixture = self.model(features).predict(observed, scale.targets, rng, waiting, learned)
            return _array(mixture.mean), _array(mixture.variance.sqrt())

        return Posterior(known, posterior)

    def _acquire(self, features: ProxyFeatures, rng: np.random.Generator) -> Proposal:
        candidates, goals = features.candidates, self.domain.goals
        gone, low = candidates.positions(self._unavailable), self._low_prediction(features, rng)
        if low is not None and not self._compares_fidelities:
            features, low = with_proxy(features, low.mean), None
        if goals.several:
            told = self._posterior(features, rng)
            _, observed, waiting = self._placed(candidates, told.observations)
            known = self.domain.cache.get(
                "known", (candidates,), goals, lambda: known_values(self.domain, candidates.architectures)
            )
            values = front_values(self, told, known, [*observed, *waiting], rng, gone)
        else:
            predicted = self.predict(features, rng, low=low)
            values = self._values(predicted, rng, self._feasible_places(candidates))
            if self._ladder is not None and self.options.acquisition == "logei":
                values = values - np.log(self._ladder.costs_left(candidates))
                if low is not None:
                    values = np.maximum(values, self._ladder.knowledge_gradient(candidates, low, predicted))
            if goals.measured_limits:
                values = values + log_feasibility(self, self._posterior(features, rng))
        values[gone] = -np.inf
        return self._highest(candidates, values, rng)

    def _highest(self, candidates: CandidateSet, values: NDArray[np.float64], rng: np.random.Generator) -> Proposal:
        place = argmax_random_ties(values, rng)
        if place is None:
            return Proposal(self.draw_unseen(rng), "random")
        return Proposal(candidates.architectures[place], "acquisition")

    @property
    def _unavailable(self) -> AbstractSet[Hashable]:
        """Keys of what cannot be chosen: no fidelity is left for it, it failed at one, or it is pending at one."""
        if self._ladder is None:
            return self.seen
        over = [o.trial for o in self.all_observations if o.trial.fidelity is None or o.outcome.validation is None]
        return {self.domain.identity(trial.architecture) for trial in (*over, *self.pending.values())}

    def _feasible_places(self, candidates: CandidateSet) -> list[int] | None:
        """Places of the observed candidates that keep all limits; None where all do."""
        if not self.domain.goals.measured_limits:
            return None
        kept = [o for o in self.successes if self.domain.goals.feasible(o.outcome.metrics)]
        return self._placed(candidates, kept)[1]

    def _values(
        self, predicted: Mixture, rng: np.random.Generator, feasible: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """The acquisition function (m,), averaged over the hyperparameters of the model.

        `feasible` are the places of what is to be improved upon, by default all that was observed. Where nothing keeps
        the limits yet there is nothing to improve upon, and all candidates are alike.
        """
        o, weights = self.options, predicted.weights
        if feasible is not None and not feasible:
            return np.zeros(predicted.means.shape[1])
        against = list(predicted.observed) if feasible is None else list(feasible)
        if o.acquisition == "greedy":
            return _array(predicted.mean)
        if o.acquisition == "thompson":
            k = int(rng.choice(len(weights), p=weights.numpy()))
            noise = torch.as_tensor(rng.normal(size=predicted.means.shape[1]))
            return _array(predicted.means[k] + predicted.variances[k].sqrt() * noise)
        values = torch.stack(
            [
                # The observations are noisy: the incumbent is the best mean, not the luckiest value.
                marginal_values(o.acquisition, mean, variance, mean[against].max(), o.beta)
                for mean, variance in zip(predicted.means, predicted.variances, strict=True)
            ]
        )
        if o.acquisition == "ucb":
            return _array(weights @ values)
        return _array(torch.logsumexp(values + weights.log()[:, None], dim=0))


def _array(values: torch.Tensor) -> NDArray[np.float64]:
    return np.array(values.numpy(), dtype=np.float64)


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
        outside = {
            self.domain.identity(t.architecture): t.architecture
            for t in self.all_trials
            if self.domain.identity(t.architecture) not in base.candidates.position
        }
        if not outside:
            return base
        if self._extended is None or self._extended[0] is not base or self._extended[1] != tuple(outside):
            others = tuple(outside.values())
            source = require_proxies(self.domain, self._called)
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
