"""What methods for several objectives know of observations and candidates: losses, violations, order."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from po_nas.core.goals import SIGNAL, Metric
from po_nas.core.searcher import Domain, Searcher
from po_nas.core.trial import Observation
from po_nas.evolution.front import front_of, pareto_scores, reference_point
from po_nas.spaces.base import Architecture
from surrogates.hypervolume import log_hypervolume_improvement, normal_draws, promising
from surrogates.labels import Scale, log_error_scale, standard_scale

__all__ = [
    "Marginal",
    "Posterior",
    "children",
    "front_values",
    "known_values",
    "log_feasibility",
    "observed_losses",
    "pareto_best_first",
    "scalarised",
]

F64 = NDArray[np.float64]

_PARENTS = 10
_ATTEMPTS = 20
_CHEBYSHEV = 0.05
"""Weight of the sum in the augmented Chebyshev scalarisation."""
_SHORTLIST = 300
"""Candidates of which the expected hypervolume improvement is computed."""
_OPTIMISM = (0.5, 2.0)
"""They are those that would add most if they were so many standard deviations better than expected."""
_DRAWS = {2: 64}
_DRAWS_OF_MORE = 8
"""Posterior samples of the front: with three objectives it takes long to divide what it dominates into boxes."""

Marginal: TypeAlias = tuple[F64, F64]
"""Means and standard deviations (m,) of m candidates."""


@dataclass(frozen=True)
class Posterior:
    """A model of any metric.

    Attributes:
        observations: n that succeeded, whose values a scale is made for.
        predict: Means and deviations (m,) of all candidates on that scale.
    """

    observations: Sequence[Observation]
    predict: Callable[[Scale], Marginal]

    def scale(self, metric: Metric) -> Scale:
        """The scale of a metric, turned so that higher is better."""
        values = np.array([-metric.sign * o.outcome.metrics[metric.name] for o in self.observations])
        return log_error_scale(values) if metric.name == SIGNAL else standard_scale(values)


def observed_losses(searcher: Searcher, told: Sequence[Observation]) -> tuple[F64, F64]:
    """Losses (n, k) of n successful observations, lower is better, and how far each is beyond limits (n,).

    With one objective, k is 1 and the loss the search signal, turned.
    """
    goals, metrics = searcher.domain.goals, [o.outcome.metrics for o in told]
    violations = goals.violations(metrics)
    if goals.several:
        return goals.losses(metrics), violations
    sign = -1.0 if searcher.domain.maximize else 1.0
    signal = np.array([sign * m["validation"] for m in metrics], dtype=np.float64)
    return signal[:, None], violations


def pareto_best_first(searcher: Searcher, told: Sequence[Observation]) -> list[Architecture]:
    """Architectures of the observations that succeeded, in the order of NSGA-II; equal ones in the order given."""
    succeeded = [o for o in told if o.outcome.validation is not None]
    scores = pareto_scores(*observed_losses(searcher, succeeded))
    return [succeeded[place].trial.architecture for place in np.argsort(-scores, kind="stable")]


def known_values(domain: Domain, architectures: Sequence[Architecture]) -> F64:
    """Losses (m, k) of m architectures by the objectives, NaN by those that an evaluation must tell."""
    objectives = domain.goals.objectives
    names = [metric.name for metric in objectives if metric.known]
    columns = domain.known(architectures, names) if names and len(architectures) else {}
    found = np.full((len(architectures), len(objectives)), np.nan)
    for place, metric in enumerate(objectives):
        if metric.name in columns:
            found[:, place] = metric.sign * columns[metric.name]
    return found


def log_feasibility(searcher: Searcher, posterior: Posterior) -> F64:
    """Logarithm of the probability (m,) that candidates keep the limits on what only an evaluation tells.

    Source: Gardner et al., Bayesian Optimization with Inequality Constraints, ICML 2014.
    """
    total: F64 = np.zeros(())
    for limit in searcher.domain.goals.measured_limits:
        metric = limit.metric
        scale = posterior.scale(metric)
        mean, deviation = posterior.predict(scale)
        # Turned as the scale is: a limit from above on what is minimised is one from below.
        edge = scale.forward(-metric.sign * limit.value)
        below = limit.upper == metric.maximize
        total = total + log_ndtr((edge - mean if below else mean - edge) / deviation)
    return np.asarray(total, dtype=np.float64)


def front_values(
    searcher: Searcher,
    posterior: Posterior,
    known: F64,
    baseline: Sequence[int],
    rng: np.random.Generator,
    closed: Sequence[int] = (),
) -> F64:
    """How much each of m candidates may add to the front, on a log scale (m,); minus infinity for most.

    The noisy expected hypervolume improvement, times the probability that the limits are kept. It is computed for the
    candidates that would add most if they were better than expected. Objectives that are known have no variance; those
    that are modelled are on the scale of the model and are turned back, so that the hypervolume is that of the values
    as they are told. Candidates are taken to be independent of each other and of what was evaluated, given the
    observations.

    Args:
        searcher: The search.
        posterior: Of the candidates.
        known: Losses (m, k) of the candidates by the objectives that are known, NaN by the others.
        baseline: Places of the candidates that were evaluated, in the order of the observations of the posterior, and
            then of those that are pending.
        rng: One number is drawn.
        closed: Places of further candidates that are not to be proposed.
    """
    goals, m = searcher.domain.goals, len(known)
    k, seed = len(goals.objectives), int(rng.integers(2**31))
    mean, deviation = -known, np.zeros_like(known)
    inverses: list[Callable[[F64], F64]] = [lambda values: values] * k
    for place, metric in enumerate(goals.objectives):
        if not metric.known:
            scale = posterior.scale(metric)
            mean[:, place], deviation[:, place] = posterior.predict(scale)
            inverses[place] = scale.inverse

    def told(values: F64) -> F64:
        return np.stack([inverse(values[..., place]) for place, inverse in enumerate(inverses)], axis=-1)

    feasible = log_feasibility(searcher, posterior) if goals.measured_limits else np.zeros(m)
    count = len(posterior.observations)
    kept = [
        place
        for number, place in enumerate(baseline)
        if number >= count or goals.feasible(posterior.observations[number].outcome.metrics)
    ]
    expected = told(mean)
    if not kept:
        return feasible
    front = expected[kept][front_of(-expected[kept])]
    reference = -reference_point(-front)
    extent = front.max(axis=0) - reference
    free = np.setdiff1d(np.arange(m), [*baseline, *closed])
    if not len(free):
        return np.full(m, -np.inf)
    points = [told(mean[free] + optimism * deviation[free]) / extent for optimism in _OPTIMISM]
    listed = free[promising(points, np.exp(feasible[free]), front / extent, reference / extent, _SHORTLIST)]
    draws = _DRAWS.get(k, _DRAWS_OF_MORE)
    normal = normal_draws(draws, k, seed)[:, None]
    others = np.random.default_rng(seed).normal(size=(draws, len(kept), k))
    values = np.full(m, -np.inf)
    gain = log_hypervolume_improvement(
        told(mean[kept] + deviation[kept] * others) / extent,
        told(mean[listed] + deviation[listed] * normal) / extent,
        reference / extent,
    )
    values[listed] = gain + feasible[listed]
    return values


def scalarised(losses: F64, rng: np.random.Generator) -> F64:
    """Scores (n,), higher is better, of points (n, k): an augmented Chebyshev function with random weights.

    Source: Knowles, ParEGO, IEEE Transactions on Evolutionary Computation 10(1), 2006.
    """
    low, high = losses.min(axis=0), losses.max(axis=0)
    weighted = rng.dirichlet(np.ones(losses.shape[1])) * (losses - low) / np.where(high > low, high - low, 1.0)
    return np.asarray(-weighted.max(axis=1) - _CHEBYSHEV * weighted.sum(axis=1), dtype=np.float64)


def children(
    searcher: Searcher,
    told: Sequence[Observation],
    known: Container[Hashable],
    count: int,
    rng: np.random.Generator,
) -> list[Architecture]:
    """Up to `count` mutants, half of them of a child of two, of the best observations in the order of NSGA-II.

    None of those whose keys are in `known`.
    """
    space, identity = searcher.domain.space, searcher.domain.identity
    parents = pareto_best_first(searcher, told)[:_PARENTS]
    found: dict[Hashable, Architecture] = {}
    for _ in range(_ATTEMPTS * count if parents else 0):
        if len(found) == count:
            break
        first, second = (parents[int(rng.integers(len(parents)))] for _ in range(2))
        child = space.mutate(space.crossover(first, second, rng) if rng.random() < 0.5 else first, rng)
        if identity(child) not in known:
            found.setdefault(identity(child), child)
    return list(found.values())
