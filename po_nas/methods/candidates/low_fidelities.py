"""What evaluations at lower fidelities say of candidates, and when another one pays."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.core.searcher import Searcher
from po_nas.core.trial import Observation, Trial
from po_nas.methods.candidates.candidate_set import CandidateSet
from po_nas.methods.candidates.proxy_features import ProxyFeatures
from po_nas.spaces.base import Architecture
from surrogates.acquisition import marginal_values
from surrogates.labels import impute_failures, log_error_scale, standard_scale
from surrogates.marginalised_gp import MarginalisedGP, Mixture

__all__ = ["LowFidelities", "LowPrediction", "with_proxy"]

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LowPrediction:
    """What is expected of m candidates on the highest step, below the full fidelity, where two or more have a value.

    Attributes:
        step: The fidelity.
        mean: Of the value there (m,), standardised.
        deviation: Standard deviation of the value there (m,), on the same scale.
        mixture: The predictions that these are made of.
        below: What is expected on the step below, if there is one.
    """

    step: float
    mean: F64
    deviation: F64
    mixture: Mixture
    below: LowPrediction | None


class LowFidelities:
    """The steps, that is fidelities, which architectures climb in a model-based method, and what was observed on them.

    On every step below the full fidelity the method's own model is fitted to the values observed there; what is
    expected on the step below is one more mean function of it, with a coefficient that the data decide. So is what the
    highest step tells in the model of the full value: autoregressive co-kriging, fitted step by step.

    An evaluation at a lower fidelity gains as far as it raises the highest predicted mean: the knowledge gradient,
    where the uncertainty is that of the lower step times its coefficient (`knowledge_gradient`). Per cost, it competes
    with the expected improvement of a full evaluation. Only the highest step with values competes; steps below it are
    passed on the way.

    Args:
        searcher: Whose observations they are.
        initial: Size of the initial design.

    Raises:
        BudgetError: Where the budget would be spent before there is a full evaluation.
        ConfigError: Where there are no lower fidelities.

    References: Kennedy and O'Hagan, Predicting the Output from a Complex Computer Code When Fast Approximations Are
    Available, Biometrika 87(1), 2000; Le Gratiet and Garnier, Recursive Co-kriging Model for Design of Computer
    Experiments with Multiple Levels of Fidelity, 2014, arXiv 1210.0686; Frazier, Powell and Dayanik, The
    Knowledge-Gradient Policy for Correlated Normal Beliefs, INFORMS Journal on Computing 21(4), 2009; Wistuba, Kadra
    and Grabocka, Supervising the Multi-Fidelity Race of Hyperparameter Configurations (DyHPO), NeurIPS 2022, arXiv
    2202.09774 (one step at a time).
    """

    _ETA = 9
    """About how much more an evaluation goes from step to step: one that is nearer tells little for its cost."""
    _NEEDED = 2
    """Values on a step from which a model is fitted to them."""
    _SPENT_BEFORE = 2.0
    """Evaluations on the next step whose cost is spent on lower steps before its first one."""
    _SHARE = 0.25
    """Of a budget of evaluations, the most that is spent on lower steps before the first full evaluation."""

    def __init__(self, searcher: Searcher, initial: int) -> None:
        self._searcher, fidelities = searcher, searcher.domain.fidelities
        fidelities.require_lower()
        self.steps = fidelities.ladder(self._ETA)
        if len(self.steps) == 1:
            self.steps = (fidelities.values[0], *self.steps)
        costs = fidelities.climb(self.steps)
        # The initial design on the first step, two architectures on each step between, and one on the full one.
        least = (initial * costs[0] + self._NEEDED * sum(costs[1:-1]) + costs[-1]) / (1 - self._SHARE)
        fidelities.check_budget(searcher.domain.max_evaluations, least, "leave method.fidelities out")

    def _amount(self, trial: Trial) -> float:
        return self._searcher.domain.fidelities.amount(trial.fidelity)

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
        for trial in self._searcher.all_trials:
            for place in candidates.positions([self._searcher.domain.identity(trial.architecture)]):
                found[place] = self._cost_left(self._reached(trial.architecture), up_to)
        return found

    def _reached(self, architecture: Architecture) -> float:
        latest = self._searcher.latest_trial(architecture)
        return 0.0 if latest is None else self._amount(latest)

    def _cost_left(self, reached: float, up_to: float | None) -> float:
        last = self.steps[-1] if up_to is None else up_to
        steps = [step for step in self.steps if reached < step <= last]
        total = sum(self._searcher.domain.fidelities.climb(steps, reached or None))
        # What has climbed all of them costs nothing more; the logarithm is asked for all the same.
        return total or 1.0

    def to_promote(self, low: LowPrediction | None) -> Architecture | None:
        """The architecture to be evaluated on the first step where fewer than two have a value, if it is time for that.

        Without `low` it is the best on the highest step where any waits, at once. Else it is the best that waits on
        `low.step`, as soon as the steps up to there have cost as much as two evaluations on the next one, or a quarter
        of a budget of evaluations, whichever is less; and no more than two are evaluated there meanwhile.
        """
        if low is None:
            waiting = (self._best_waiting(step) for step in reversed(self.steps[:-1]))
            return next((architecture for architecture in waiting if architecture is not None), None)
        fidelities, budget = self._searcher.domain.fidelities, self._searcher.domain.max_evaluations
        above = next(step for step in self.steps if step > low.step)
        spent = sum(self._searcher.cost(t) for t in self._searcher.all_trials if self._amount(t) <= low.step)
        most = math.inf if budget is None else self._SHARE * budget
        if spent < min(self._SPENT_BEFORE * fidelities.cost(fidelities.checked(above)), most):
            return None
        succeeded = sum(o.outcome.validation is not None for o in self._observed(above))
        pending = sum(self._amount(t) == above for t in self._searcher.pending.values())
        return self._best_waiting(low.step) if succeeded + pending < self._NEEDED else None

    def _best_waiting(self, step: float) -> Architecture | None:
        """The best architecture that has been evaluated on a step and on no higher one."""
        waiting = [
            o
            for o in self._observed(step)
            if o.outcome.validation is not None and self._reached(o.trial.architecture) == step
        ]
        return waiting[int(np.argmax(self._searcher.scores(waiting)))].trial.architecture if waiting else None

    def prediction(
        self, features: ProxyFeatures, model: MarginalisedGP, rng: np.random.Generator
    ) -> LowPrediction | None:
        """What is expected of the candidates on the highest step with two values or more; None where there is none."""
        found: LowPrediction | None = None
        candidates, identity = features.candidates, self._searcher.domain.identity
        for step in self.steps[:-1]:
            told = [o for o in self._observed(step) if identity(o.trial.architecture) in candidates.position]
            if sum(o.outcome.validation is not None for o in told) < self._NEEDED:
                break
            places = [candidates.position[identity(o.trial.architecture)] for o in told]
            pending = [identity(t.architecture) for t in self._searcher.pending.values() if self._amount(t) == step]
            signal = impute_failures(np.array([self._searcher.signal(o.outcome) for o in told]))
            mixture = model.predict(
                places,
                log_error_scale(signal).targets,
                rng,
                candidates.positions(pending),
                None if found is None else found.mean,
            )
            mean, variance = (np.array(part.numpy(), dtype=np.float64) for part in (mixture.mean, mixture.variance))
            # The spread of the value: that of the means alone is next to nothing where little is known.
            unit = float(np.sqrt(mean.var() + variance.mean()))
            found = LowPrediction(step, (mean - mean.mean()) / unit, np.sqrt(variance) / unit, mixture, found)
        return found

    def acquisition_values(self, candidates: CandidateSet, low: LowPrediction, improvement: F64) -> F64:
        """Logarithm of the gain per cost of evaluating each of m candidates on `low.step`, or on the step below (m,).

        `improvement` is the logarithm of the expected improvement on that step. Minus infinity for those that have
        climbed it already.
        """
        found = improvement - np.log(self.costs_left(candidates, low.step))
        if low.below is not None:
            found = np.maximum(found, self.knowledge_gradient(candidates, low.below, low.mixture))
        found[self._climbed(candidates, low.step)] = -np.inf
        return found

    def knowledge_gradient(self, candidates: CandidateSet, low: LowPrediction, above: Mixture) -> F64:
        """Logarithm of how far evaluating each of m candidates on `low.step` raises the highest mean, per cost (m,).

        Observations on that step count as free of noise. Minus infinity for those that have climbed it already.
        `above` are the predictions on a higher step, with what `low` expects as one more mean function.
        """
        deviation, values = torch.as_tensor(low.deviation), []
        for mean, coefficient in zip(above.means, above.hyperparameters.predictor.tolist(), strict=True):
            highest, second = torch.topk(mean, 2).values
            # The highest gains by falling below the second as the others do by rising above the highest.
            level = mean.clone()
            level[mean.argmax()] = second
            variance = (coefficient * deviation).square().clamp_min(1e-9)
            values.append(marginal_values("logei", level, variance, highest, 1.0))
        averaged = torch.logsumexp(torch.stack(values) + above.weights.log()[:, None], dim=0).numpy()
        found = np.array(averaged, dtype=np.float64) - np.log(self.costs_left(candidates, low.step))
        found[self._climbed(candidates, low.step)] = -np.inf
        return found

    def _climbed(self, candidates: CandidateSet, step: float) -> list[int]:
        """Places of the candidates that have been evaluated on a step or a higher one, or are being."""
        climbed = [t.architecture for t in self._searcher.all_trials if self._reached(t.architecture) >= step]
        return candidates.positions(map(self._searcher.domain.identity, climbed))

    def _observed(self, step: float) -> list[Observation]:
        return [o for o in self._searcher.all_observations if self._amount(o.trial) == step]


def with_proxy(features: ProxyFeatures, column: F64) -> ProxyFeatures:
    """Features with one more proxy (m,), which weighs as much as each of the trusted ones in the prior mean."""
    share = 1.0 / (1 + np.count_nonzero(features.prior))
    z, prior = np.concatenate([features.z, column[:, None]], axis=1), np.append((1 - share) * features.prior, share)
    return replace(features, z=z, prior=prior, fused=standard_scale(z @ prior).targets)
