"""What evaluations at lower fidelities say of candidates: one more proxy of the value at the full one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from po_nas.core.searcher import Searcher
from po_nas.core.trial import Observation
from po_nas.methods.candidates.candidate_set import CandidateSet
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.spaces.base import Architecture
from proxies.normalise import normal_scores
from surrogates.labels import impute_failures, standard_scale
from surrogates.marginalised_gp import MarginalisedGP

__all__ = ["LowFidelities"]

F64 = NDArray[np.float64]


class LowFidelities:
    """The ladder of fidelities that a model-based method climbs, and what was observed on it.

    On every step below the full fidelity a Gaussian process over encodings is fitted to the values observed there; what
    the step below expects is its mean function. What the process of the highest step expects of a candidate, observed
    there or not, is a proxy of its value at the full fidelity: autoregressive co-kriging, fitted step by step.

    Args:
        searcher: Whose observations they are.

    References: Kennedy and O'Hagan, Predicting the Output from a Complex Computer Code When Fast Approximations Are
    Available, Biometrika 87(1), 2000; Le Gratiet and Garnier, Recursive Co-kriging Model for Design of Computer
    Experiments with Multiple Levels of Fidelity, 2014, arXiv 1210.0686; Wistuba, Kadra and Grabocka, Supervising the
    Multi-Fidelity Race of Hyperparameter Configurations (DyHPO), NeurIPS 2022, arXiv 2202.09774 (one step at a time).
    """

    _ETA = 3
    """About how much more an evaluation goes from one step to the next."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.steps = searcher.domain.fidelities.ladder(self._ETA)

    def next_step(self, architecture: Architecture) -> float:
        """The fidelity at which an architecture is to be evaluated next."""
        return next(step for step in self.steps if step > self._reached(architecture))

    def costs_left(self, candidates: CandidateSet) -> F64:
        """What it costs to evaluate each of m candidates on all steps that it has not climbed yet: (m,) full ones."""
        found = np.full(len(candidates), self._cost_left(0.0))
        trials = (*(o.trial for o in self._searcher.all_observations), *self._searcher.pending.values())
        for trial in trials:
            for place in candidates.positions([self._searcher.domain.identity(trial.architecture)]):
                found[place] = self._cost_left(self._reached(trial.architecture))
        return found

    def _reached(self, architecture: Architecture) -> float:
        latest = self._searcher.latest_trial(architecture)
        return 0.0 if latest is None else self._searcher.domain.fidelities.amount(latest.fidelity)

    def _cost_left(self, reached: float) -> float:
        steps = [step for step in self.steps if step > reached]
        total = sum(self._searcher.domain.fidelities.climb(steps, reached or None))
        # A full evaluation costs nothing more; the logarithm is asked for all the same.
        return total or 1.0

    def best_below(self) -> Architecture | None:
        """The best architecture on the highest step below the full one where any waits; None where none does."""
        for step in reversed(self.steps[:-1]):
            waiting = [
                o
                for o in self._observed(step)
                if o.outcome.validation is not None and self._reached(o.trial.architecture) == step
            ]
            if waiting:
                return waiting[int(np.argmax(self._searcher.scores(waiting)))].trial.architecture
        return None

    def added_to(self, features: ProxyFeatures, rng: np.random.Generator) -> ProxyFeatures:
        """Features of candidates with the proxy of the highest step below the full one on which two have a value."""
        column: F64 | None = None
        position, identity = features.candidates.position, self._searcher.domain.identity
        for step in self.steps[:-1]:
            told = [o for o in self._observed(step) if identity(o.trial.architecture) in position]
            if sum(o.outcome.validation is not None for o in told) < 2:
                break
            places = [position[identity(o.trial.architecture)] for o in told]
            signal = impute_failures(np.array([self._searcher.signal(o.outcome) for o in told]))
            targets = normal_scores(signal)
            model = MarginalisedGP(features.similarities[:-1], features.fused if column is None else column)
            column = standard_scale(
                np.array(model.predict(places, targets, rng).mean.numpy(), dtype=np.float64)
            ).targets
        return features if column is None else _with_proxy(features, column)

    def _observed(self, step: float) -> list[Observation]:
        return [o for o in self._searcher.all_observations if o.trial.fidelity == step]


def _with_proxy(features: ProxyFeatures, column: F64) -> ProxyFeatures:
    """Features with one more proxy, which weighs as much as each of the trusted ones in the prior mean."""
    share = 1.0 / (1 + np.count_nonzero(features.prior))
    z, prior = np.concatenate([features.z, column[:, None]], axis=1), np.append((1 - share) * features.prior, share)
    return replace(features, z=z, prior=prior, fused=standard_scale(z @ prior).targets)
