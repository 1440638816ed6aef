"""Acquisition values against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.stats import norm

from proxies.normalise import normal_scores
from surrogates import acquisition as module
from surrogates.acquisition import GPScorer


def counts(n, seed, d=8):
    return csr_array(np.random.default_rng(seed).integers(0, 3, (n, d)).astype(float))


FEATURES = counts(20, 0)
TARGETS = normal_scores(FEATURES.toarray()[:, :4].sum(1) + 0.01 * np.arange(20))
CANDIDATES = counts(60, 1)
NOTHING = counts(0, 2)


def scorer(acquisition="logei", pending=NOTHING, seed=0, features=FEATURES, targets=TARGETS):
    """Two blocks of features: the first five columns and the last three."""
    return GPScorer(blocks(features), targets, blocks(pending), np.random.default_rng(seed), acquisition, 4.0)


def blocks(features):
    return features[:, :5], features[:, 5:]


def marginal(found, features):
    return found.marginal(blocks(features))


def joint(found, features):
    return found.joint(blocks(features))


def predictions(found, features):
    """BoTorch's own posterior of the scorer's model; (mean, standard deviation)."""
    with torch.no_grad():
        posterior = found._model.posterior(found._dense(blocks(features)).unsqueeze(1))
    return posterior.mean.numpy().ravel(), posterior.variance.sqrt().numpy().ravel()


def test_expected_improvement_is_the_closed_form():
    found = scorer()
    assert found.fitted
    mean, deviation = predictions(found, CANDIDATES)
    best = predictions(found, FEATURES)[0].max()
    z = (mean - best) / deviation
    expected = deviation * (z * norm.cdf(z) + norm.pdf(z))
    values = marginal(found, CANDIDATES)
    assert values.shape == (60,)
    big = expected > 1e-12
    assert big.sum() > 20
    np.testing.assert_allclose(values[big], np.log(expected[big]), atol=1e-4)
    assert np.isfinite(values).all(), "where the improvement underflows its logarithm does not"
    assert np.argmax(values) == np.argmax(expected)


def test_upper_confidence_bound_is_the_closed_form():
    found = scorer("ucb")
    mean, deviation = predictions(found, CANDIDATES)
    np.testing.assert_allclose(marginal(found, CANDIDATES), mean + 2.0 * deviation, atol=1e-5)
    np.testing.assert_array_equal(joint(found, CANDIDATES), marginal(found, CANDIDATES))


def test_features_are_scaled_by_their_median_distance():
    """Counts in other units are the same model."""
    once, thrice = scorer(), scorer(features=3.0 * FEATURES)
    assert thrice._scales == pytest.approx([3.0 * scale for scale in once._scales])
    np.testing.assert_allclose(marginal(thrice, 3.0 * CANDIDATES), marginal(once, CANDIDATES), atol=1e-6)
    equal = scorer(features=csr_array(np.ones((5, 8))), targets=np.zeros(5))
    assert equal._scales == [1.0, 1.0]
    assert np.isfinite(marginal(equal, CANDIDATES)).all()


@pytest.mark.parametrize("acquisition", ["logei", "lognei", "ucb"])
def test_a_pending_candidate_loses_its_value(acquisition):
    """What is under evaluation already would tell little when it is evaluated again."""
    free = scorer(acquisition)
    best = int(np.argmax(joint(free, CANDIDATES)))
    busy = scorer(acquisition, pending=CANDIDATES[[best]])
    before, after = joint(free, CANDIDATES), joint(busy, CANDIDATES)
    gain_before, gain_after = before - np.median(before), after - np.median(after)
    assert gain_after[best] < gain_before[best] - 1e-3
    np.testing.assert_allclose(marginal(busy, CANDIDATES), marginal(free, CANDIDATES), atol=1e-9)


def test_noisy_improvement_agrees_with_the_plain_one_where_there_is_little_noise():
    found = scorer()
    top = np.argsort(-marginal(found, CANDIDATES))[:10]
    assert int(np.argmax(joint(found, CANDIDATES))) in top
    assert np.corrcoef(joint(found, CANDIDATES)[top], marginal(found, CANDIDATES)[top])[0, 1] > 0.8


def test_the_same_generator_gives_the_same_values_and_torchs_own_is_left_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = scorer(pending=CANDIDATES[[0]], seed=3)
    values = joint(first, CANDIDATES)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    np.testing.assert_array_equal(joint(scorer(pending=CANDIDATES[[0]], seed=3), CANDIDATES), values)
    assert not np.array_equal(joint(scorer(pending=CANDIDATES[[0]], seed=4), CANDIDATES), values)


def test_a_whole_space_is_scored_without_a_matrix_of_its_size(monkeypatch):
    """BoTorch's posterior of m candidates one by one makes m small covariances; the fast way makes none."""
    found, asked = scorer(), []
    original = type(found._model).posterior

    def counted(self, *args, **kwargs):
        asked.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(found._model), "posterior", counted)
    many = counts(20_000, 3)
    values = marginal(found, many)
    assert values.shape == (20_000,)
    assert asked == []
    np.testing.assert_allclose(marginal(found, many[:50]), values[:50], atol=1e-9)
    joint(found, CANDIDATES)
    assert asked, "the joint one is BoTorch's"


def test_a_failed_fit_still_scores(monkeypatch):
    monkeypatch.setattr(module.ArchitectureGP, "fit", lambda self: bool(self.eval()) and False)
    found = scorer()
    assert found.fitted is False
    assert np.isfinite(marginal(found, CANDIDATES)).all()


def test_the_gradient_climbs_where_it_may():
    rng = np.random.default_rng(0)
    known = rng.random((15, 4))
    targets = normal_scores(-np.square(known - 0.6).sum(1))
    nothing = (csr_array((0, 4)),)
    found = GPScorer((csr_array(known),), targets, nothing, rng, groups=[[0], [1], [2, 3]])
    start = rng.random((3, 4))
    free = np.array([[True] * 4, [True, False, False, True], [False] * 4])
    moved = found.ascended(start, free, 10)
    before, after = (found.marginal((csr_array(x),)) for x in (start, moved))
    assert np.allclose(moved[~free], start[~free])
    assert ((moved >= -1e-12) & (moved <= 1 + 1e-12)).all()
    assert after[0] > before[0] + 0.01
    assert after[1] > before[1]
    assert after[2] == pytest.approx(before[2])
