"""Priors that are fitted to other problems: they move towards what these are like."""

from __future__ import annotations

import numpy as np
import pytest

from surrogates.candidate_kernels import Similarity
from surrogates.empirical_bayes import Problem, fitted_priors
from surrogates.marginalised_gp import MarginalisedGP, ModelHypothesis, Priors

PRIORS = Priors(means=(0.0, 0.3, 0.6, 0.9))


def problem(seed: int, informative: bool, noise: float) -> Problem:
    """25 targets: twice the mean function, or nothing to do with it, and noise."""
    rng = np.random.default_rng(seed)
    parts = (Similarity(rng.normal(size=(60, 3))),)
    mean = rng.normal(size=60)
    targets = (mean if informative else rng.normal(size=60)) + noise * rng.normal(size=60)
    hypotheses = (ModelHypothesis(parts, False, 0.5), ModelHypothesis(parts, True, 0.5))
    scaled = targets[:25] / targets[:25].std()
    return Problem(MarginalisedGP(parts, mean, PRIORS, hypotheses), range(25), scaled)


def fitted(informative: bool, noise: float) -> tuple[Priors, float]:
    return fitted_priors([problem(seed, informative, noise) for seed in range(4)], np.random.default_rng(0))


def test_a_mean_function_that_tells_is_trusted_and_one_that_does_not_is_not():
    good, nothing_in_good = fitted(True, 0.2)
    bad, nothing_in_bad = fitted(False, 0.2)
    assert nothing_in_good < 0.3 < nothing_in_bad
    assert good.mean_weights[-1] > good.mean_weights[0]
    assert good.mean_weights[-1] > bad.mean_weights[-1]
    assert sum(good.mean_weights) == pytest.approx(1.0)


def test_noise_is_learned_and_other_fields_are_kept():
    clear, noisy = (fitted(True, noise)[0] for noise in (0.05, 1.5))
    assert clear.noise[0] < noisy.noise[0]
    assert clear.noise[1] >= 0.4
    assert (clear.means, clear.draws, clear.concentration) == (PRIORS.means, PRIORS.draws, PRIORS.concentration)


def test_a_weight_of_nothing_is_as_if_the_problem_were_not_there():
    problems = [problem(0, True, 0.2), problem(1, False, 0.2)]
    both = fitted_priors(problems, np.random.default_rng(0), weights=(1.0, 0.0))
    assert both == fitted_priors(problems[:1], np.random.default_rng(0))


@pytest.mark.parametrize("coefficient", PRIORS.means)
def test_the_fitted_probabilities_are_those_that_are_drawn(coefficient):
    weights = tuple(float(value == coefficient) for value in PRIORS.means)
    rng = np.random.default_rng(0)
    model = MarginalisedGP(
        [Similarity(rng.normal(size=(20, 2)))], rng.normal(size=20), Priors(mean_weights=weights, means=PRIORS.means)
    )
    samples, likely = model.hyperparameters(range(6), rng.normal(size=6), rng)
    assert set(samples.means) == {coefficient}
    assert likely.sum() == pytest.approx(1.0)
