"""What evaluations at lower fidelities say of candidates, and when another one pays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.core.searcher import Searcher
from po_nas.core.trial import Observation
from po_nas.methods.candidates.candidate_set import CandidateSet
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.spaces.base import Architecture
from surrogates.acquisition import marginal_values
from surrogates.labels import impute_failures, log_error_scale, standard_scale
from surrogates.marginalised_gp import Mixture

__all__ = ["LowFidelities", "LowPrediction", "with_proxy"]

F64 = NDArray[np.float64]
Predict = Callable[[list[int], F64, list[int], F64 | None], Mixture]
"""A model's predictions, from the places (n,) of evaluated candidates, their targets (n,), the places of those under
evaluation, and one more mean function (m,) or none.
"""


@dataclass(frozen=True, eq=False)
class LowPrediction:
    """What the highest step below the full fidelity on which two have a value says of m candidates.

    Attributes:
        step: The fidelity.
        mean: Of the value there (m,), standardised over the candidates.
        deviation: Standard deviation of the value there (m,), on the same scale.
        mixture: The predictions that these are made of.
        below: What the step below says, if it tells anything.
    """

    step: float
    mean: F64
    deviation: F64
    mixture: Mixture
    below: LowPrediction | None


class LowFidelities:
    """The ladder of fidelities that a model-based method climbs, and what was observed on it.

    On every step below the full fidelity the method's own model is fitted to the values observed there; what the step
    below expects is one more mean function of it, with a coefficient that the data decide. So is what the highest step
    expects in the model of the full value: autoregressive co-kriging, fitted step by step.

    An evaluation at a lower fidelity is worth the improvement of the best predicted value that it may bring: the
    expected improvement on it, where the uncertainty is that of the lower step times its coefficient (`worth`). Per
    cost, it competes with the expected improvement of a full evaluation.

    Args:
        searcher: Whose observations they are.

    References: Kennedy and O'Hagan, Predicting the Output from a Complex Computer Code When Fast Approximations Are
    Available, Biometrika 87(1), 2000; Le Gratiet and Garnier, Recursive Co-kriging Model for Design of Computer
    Experiments with Multiple Levels of Fidelity, 2014, arXiv 1210.0686; Frazier, Powell and Dayanik, The
    Knowledge-Gradient Policy for Correlated Normal Beliefs, INFORMS Journal on Computing 21(4), 2009 (what an
    evaluation is worth); Wistuba, Kadra and Grabocka, Supervising the Multi-Fidelity Race of Hyperparameter
    Configurations (DyHPO), NeurIPS 2022, arXiv 2202.09774 (one step at a time).
    """

    _ETA = 9
    """About how much more an evaluation goes from step to step: one that is nearer tells little for its cost."""
    _BEFORE, _SHARE = 2.0, 0.25
    """What steps may cost before the first evaluation on the next one, in those, and as a share of the budget."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.steps = searcher.domain.fidelities.ladder(self._ETA)

    def next_step(self, architecture: Architecture) -> float:
        """The fidelity at which an architecture is to be evaluated next."""
        return next(step for step in self.steps if step > self._reached(architecture))

    def costs_left(self, candidates: CandidateSet, up_to: float | None = None) -> F64:
        """What it costs to evaluate each of m candidates on all steps that it has not climbed yet: (m,) full ones.

        Args:
            candidates: The candidates.
            up_to: The last of the steps, None for the full one; where none is left, the cost is 1.
        """
        found = np.full(len(candidates), self._cost_left(0.0, up_to))
        trials = (*(o.trial for o in self._searcher.all_observations), *self._searcher.pending.values())
        for trial in trials:
            for place in candidates.positions([self._searcher.domain.identity(trial.architecture)]):
                found[place] = self._cost_left(self._reached(trial.architecture), up_to)
        return found

    def _reached(self, architecture: Architecture) -> float:
        latest = self._searcher.latest_trial(architecture)
        return 0.0 if latest is None else self._searcher.domain.fidelities.amount(latest.fidelity)

    def _cost_left(self, reached: float, up_to: float | None) -> float:
        last = self.steps[-1] if up_to is None else up_to
        steps = [step for step in self.steps if reached < step <= last]
        total = sum(self._searcher.domain.fidelities.climb(steps, reached or None))
        # What has climbed all of them costs nothing more; the logarithm is asked for all the same.
        return total or 1.0

    def to_promote(self, low: LowPrediction | None) -> Architecture | None:
        """The architecture to be evaluated on a step where fewer than two have a value; None for another look below.

        Without `low` it is the best on the highest step where any waits. Else it is the best that waits on `low.step`,
        as soon as the steps up to there have had their share: the cost of two evaluations on the next one, and of the
        budget no more than a quarter.
        """
        if low is None:
            waiting = (self._best_waiting(step) for step in reversed(self.steps[:-1]))
            return next((architecture for architecture in waiting if architecture is not None), None)
        searcher, fidelities = self._searcher, self._searcher.domain.fidelities
        trials = (*(o.trial for o in searcher.all_observations), *searcher.pending.values())
        spent = sum(searcher.cost(t) for t in trials if fidelities.amount(t.fidelity) <= low.step)
        budget = searcher.domain.max_evaluations
        above = next(step for step in self.steps if step > low.step)
        most = math.inf if budget is None else self._SHARE * budget
        if spent < min(self._BEFORE * fidelities.cost(fidelities.checked(above)), most):
            return None
        return self._best_waiting(low.step)

    def _best_waiting(self, step: float) -> Architecture | None:
        """The best architecture on a step that has climbed no higher."""
        waiting = [
            o
            for o in self._observed(step)
            if o.outcome.validation is not None and self._reached(o.trial.architecture) == step
        ]
        return waiting[int(np.argmax(self._searcher.scores(waiting)))].trial.architecture if waiting else None

    def prediction(self, candidates: CandidateSet, predict: Predict) -> LowPrediction | None:
        """What the highest step that tells anything says of the candidates; None where no step does."""
        found: LowPrediction | None = None
        position, identity = candidates.position, self._searcher.domain.identity
        for step in self.steps[:-1]:
            told = [o for o in self._observed(step) if identity(o.trial.architecture) in position]
            if sum(o.outcome.validation is not None for o in told) < 2:
                break
            places = [position[identity(o.trial.architecture)] for o in told]
            waiting = [t.architecture for t in self._searcher.pending.values() if t.fidelity == step]
            signal = impute_failures(np.array([self._searcher.signal(o.outcome) for o in told]))
            mixture = predict(
                places,
                log_error_scale(signal).targets,
                candidates.positions(map(identity, waiting)),
                None if found is None else found.mean,
            )
            mean = np.array(mixture.mean.numpy(), dtype=np.float64)
            second = mixture.weights @ (mixture.variances + mixture.means.square())
            variance = np.maximum(np.array(second.numpy(), dtype=np.float64) - mean**2, 1e-12)
            unit = float(mean.std()) or 1.0
            found = LowPrediction(step, (mean - mean.mean()) / unit, np.sqrt(variance) / unit, mixture, found)
        return found

    def values(self, candidates: CandidateSet, low: LowPrediction, improvement: F64) -> F64:
        """Logarithm of what evaluating each of m candidates on `low.step`, or below, is worth per cost (m,).

        `improvement` is the logarithm of the expected improvement on that step. Minus infinity for those that have
        climbed it already.
        """
        found = improvement - np.log(self.costs_left(candidates, low.step))
        if low.below is not None:
            found = np.maximum(found, self.worth(candidates, low.below, low.mixture))
        found[self._climbed(candidates, low.step)] = -np.inf
        return found

    def worth(self, candidates: CandidateSet, low: LowPrediction, above: Mixture) -> F64:
        """Logarithm of what evaluating each of m candidates up to `low.step` is worth for a higher one, per cost (m,).

        Minus infinity for those that have climbed it already. `above` are predictions of the value at the higher
        fidelity, with what `low` expects as the additional mean function.
        """
        deviation = torch.as_tensor(low.deviation)
        values = torch.stack(
            [
                marginal_values("logei", mean, (coefficient * deviation).square().clamp_min(1e-12), mean.max(), 1.0)
                for mean, coefficient in zip(above.means, above.hyperparameters.predictor.tolist(), strict=True)
            ]
        )
        averaged = torch.logsumexp(values + above.weights.log()[:, None], dim=0).numpy()
        found = np.array(averaged, dtype=np.float64) - np.log(self.costs_left(candidates, low.step))
        found[self._climbed(candidates, low.step)] = -np.inf
        return found

    def _climbed(self, candidates: CandidateSet, step: float) -> list[int]:
        """Places of the candidates that have been evaluated on a step or a higher one, or are being."""
        trials = (*(o.trial for o in self._searcher.all_observations), *self._searcher.pending.values())
        climbed = [t.architecture for t in trials if self._reached(t.architecture) >= step]
        return candidates.positions(map(self._searcher.domain.identity, climbed))

    def _observed(self, step: float) -> list[Observation]:
        return [o for o in self._searcher.all_observations if o.trial.fidelity == step]


def with_proxy(features: ProxyFeatures, column: F64) -> ProxyFeatures:
    """Features with one more proxy (m,), which weighs as much as each of the trusted ones in the prior mean."""
    share = 1.0 / (1 + np.count_nonzero(features.prior))
    z, prior = np.concatenate([features.z, column[:, None]], axis=1), np.append((1 - share) * features.prior, share)
    return replace(features, z=z, prior=prior, fused=standard_scale(z @ prior).targets)
