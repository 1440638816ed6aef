"""Priors over hyperparameters that are fitted to other problems of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from surrogates.candidate_kernels import Component
from surrogates.labels import standard_scale
from surrogates.marginalised_gp import MarginalisedGP, ModelHypothesis, Priors

__all__ = ["ImitatedSearch", "Problem", "fitted_priors", "fitted_to_searches"]

F64 = NDArray[np.float64]
_COEFFICIENTS = (0.0, 0.3, 0.6, 0.9, 1.2)
"""Of the mean function: those that a fit chooses among."""
_NARROWEST = 0.4
"""Standard deviation below which no fit goes: a few problems do not tell what all others are like."""
_TIMID = 1.0
"""Problems' worth of the prior that was there before, in every average."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem that a model was told something about.

    Attributes:
        model: Of its candidates; hypothesis 0 is that without the mean function, and the others share the rest of the
            probability.
        observed: Places of the n observed candidates.
        targets: What was observed (n,), about unit variance.
    """

    model: MarginalisedGP
    observed: Sequence[int]
    targets: F64


def fitted_priors(
    problems: Sequence[Problem], rng: np.random.Generator, *, weights: Sequence[float] | None = None
) -> tuple[Priors, float]:
    """The priors that a round of expectation maximisation makes of those of the problems' models.

    The posterior of each problem, averaged over all, is the new prior: mean and standard deviation of the log noise and
    of the log length scales (by the share of their kernel), the probability of each coefficient of the mean function,
    and that of hypothesis 0. The old prior is averaged in like one problem more.

    Args:
        problems: One or more, whose models have equal priors and the same number of hypotheses.
        rng: Of the samples.
        weights: Of the problems; default: equal ones.

    Returns:
        The priors, and the probability that the mean function is worth nothing.
    """
    old = problems[0].model.priors
    shares = np.ones(len(problems)) if weights is None else np.asarray(weights, dtype=np.float64)
    noise, lengths = _Moments(*old.noise), _Moments(old.length_scale_mean, old.length_scale)
    values = np.array(old.means)
    before = np.array(old.mean_weights or (1.0,) * len(values))
    coefficients = _TIMID * before / before.sum()
    nothing, total = _TIMID * float(problems[0].model.hypothesis_priors[0]), _TIMID
    for problem, share in zip(problems, shares, strict=True):
        samples, likely = problem.model.hyperparameters(problem.observed, problem.targets, rng)
        likely = share * likely
        without = samples.hypothesis == 0
        noise.add(np.log(samples.noise), likely)
        kernels = samples.kernel_weights * likely[:, None]
        lengths.add(np.log(samples.lengths).ravel(), kernels.ravel())
        nothing, total = nothing + float(likely[without].sum()), total + float(share)
        # Where the mean function is left out its coefficient says nothing.
        found = np.array([likely[~without & (samples.means == value)].sum() for value in values])
        coefficients = coefficients + found
    fitted = replace(
        old,
        noise=noise.fitted,
        length_scale_mean=lengths.fitted[0],
        length_scale=lengths.fitted[1],
        mean_weights=tuple((coefficients / coefficients.sum()).tolist()),
    )
    return fitted, nothing / total


@dataclass(frozen=True, eq=False)
class ImitatedSearch:
    """A search as it would be after some evaluations, on a task whose values are known.

    Attributes:
        components: Of the model, over m candidates; the last one is of the proxies, as the order is.
        order: The mean function (m,).
        observed: Places of n candidates.
        values: Theirs (n,), on any scale.
        weight: Of the problem that it makes.
    """

    components: tuple[Component, ...]
    order: F64
    observed: Sequence[int]
    values: F64
    weight: float

    def problem(self, priors: Priors, nothing: float) -> Problem:
        """The problem under priors, and under a probability that proxies and order are worth nothing."""
        hypotheses = (
            ModelHypothesis(self.components[:-1], mean=False, probability=nothing),
            ModelHypothesis(self.components, mean=True, probability=1.0 - nothing),
        )
        model = MarginalisedGP(self.components, self.order, priors, hypotheses)
        return Problem(model, self.observed, standard_scale(self.values).targets)


def fitted_to_searches(
    searches: Sequence[ImitatedSearch], priors: Priors, rng: np.random.Generator, rounds: int
) -> tuple[Priors, float]:
    """The priors, and the probability that the order is worth nothing, after some rounds of `fitted_priors`.

    Args:
        searches: One or more.
        priors: Of the first round, but for the coefficients of the order; the probability is one half there.
        rng: Of the samples.
        rounds: Their number.
    """
    weights = [search.weight for search in searches]
    fitted, nothing = replace(priors, means=_COEFFICIENTS, mean_weights=()), 0.5
    for _ in range(rounds):
        problems = [search.problem(fitted, nothing) for search in searches]
        fitted, nothing = fitted_priors(problems, rng, weights=weights)
    return fitted, nothing


class _Moments:
    """Mean and standard deviation of weighted values, and of a prior that counts as `_TIMID` of them."""

    def __init__(self, mean: float, deviation: float) -> None:
        self._sums = _TIMID * np.array([1.0, mean, mean**2 + deviation**2])

    def add(self, values: F64, weights: F64) -> None:
        self._sums = self._sums + np.array([weights.sum(), weights @ values, weights @ values**2])

    @property
    def fitted(self) -> tuple[float, float]:
        mean = self._sums[1] / self._sums[0]
        variance = max(self._sums[2] / self._sums[0] - mean**2, _NARROWEST**2)
        return float(mean), float(np.sqrt(variance))
