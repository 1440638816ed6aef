from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from surrogates.candidate_kernels import Linear, Similarity, VaryingCoefficients, matern
from surrogates.marginalised_gp import Hyperparameters, MarginalisedGP, ModelHypothesis, Priors, _Fit


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    features, z = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    similarity, linear = Similarity(features), Linear(z)
    return similarity, linear, VaryingCoefficients(linear, similarity)


def slow(component, scale):
    """The whole (m, m) covariance, from the definition."""
    if isinstance(component, Linear):
        z = component.features.numpy().astype(float)
        return z @ z.T
    if isinstance(component, VaryingCoefficients):
        return slow(component.linear, scale) * slow(component.similarity, scale)
    f = component._features.numpy().astype(float)
    apart = np.sqrt(((f[:, None] - f[None]) ** 2).sum(2)) / component.scale / scale
    return (1 + np.sqrt(5) * apart + 5 / 3 * apart**2) * np.exp(-np.sqrt(5) * apart)


def test_columns_and_diagonals_are_those_of_the_whole_matrix(parts):
    for component in parts:
        whole = slow(component, 0.8)
        columns = component.kernel(component.cross_covariance_inputs([3, 17, 3]), 0.8).numpy()
        assert columns == pytest.approx(whole[:, [3, 17, 3]], abs=2e-3)
        assert np.broadcast_to(component.diagonal().numpy(), (40,)) == pytest.approx(np.diag(whole), abs=1e-4)
        assert np.linalg.eigvalsh(whole).min() > -1e-9


def test_a_typical_pair_is_one_apart_and_a_linear_prior_has_unit_variance(parts):
    distances = parts[0].cross_covariance_inputs(range(40))[0]
    assert 0.8 < float(distances[distances > 0].median()) < 1.2
    assert float(parts[1].diagonal().mean()) == pytest.approx(1.0)


def one_sample(components, lengths, shares, noise, mean):
    parts = (np.array([values]) for values in (lengths, shares, noise, mean, 0.0, 0))
    return Hyperparameters(*parts)


def test_predictions_of_one_sample_are_those_of_textbook_regression(parts):
    rng = np.random.default_rng(1)
    prior = rng.normal(size=40)
    model = MarginalisedGP(parts, prior, Priors(kept=1, draws=8))
    observed, y = [2, 5, 30, 31], np.array([0.3, -1.0, 1.2, 0.4])
    lengths, shares, noise, degree = [0.7, 1.0, 1.3], [0.5, 0.2, 0.3], 0.05, 0.6
    scales = one_sample(parts, lengths, shares, noise, degree)
    model._sample = lambda fit, rng: (scales, np.ones(1))
    found = model.predict(observed, y, np.random.default_rng(0), pending=[9])

    k = sum(s * slow(c, length) for c, length, s in zip(parts, lengths, shares, strict=True))
    inner = k[np.ix_(observed, observed)] + noise * np.eye(4)
    residual = y - degree * prior[observed]
    inverse = np.linalg.inv(inner)
    constant = (inverse @ residual).sum() / (inverse.sum() + 1)
    dual = inverse @ (residual - constant)
    variance = (6 + (residual - constant) @ dual) / (6 + 4)
    assert found.means[0].numpy() == pytest.approx(constant + degree * prior + k[:, observed] @ dual, abs=5e-3)
    rows = [*observed, 9]
    longer = np.linalg.inv(k[np.ix_(rows, rows)] + noise * np.eye(5))
    posterior = np.diag(k - k[:, rows] @ longer @ k[rows]) * variance
    assert found.variances[0].numpy() == pytest.approx(posterior, abs=5e-3)
    alone = model.predict(observed, y, np.random.default_rng(0))
    assert float(found.variances[0, 9]) < float(alone.variances[0, 9])
    assert torch.equal(found.means, alone.means)


def test_likelihoods_differ_as_those_of_a_student_distribution(parts):
    """With the overall variance integrated out, observations are Student-t; the constant is fixed at its estimate."""
    model = MarginalisedGP(parts[:1])
    observed, y = [1, 8, 20], np.array([1.0, -0.5, 0.2])
    fit = _Fit(model, observed, torch.as_tensor(y))
    found = []
    for length, noise in ((0.5, 0.1), (2.0, 0.4)):
        solved = fit.solve(one_sample(parts[:1], [length], [1.0], noise, 0.0))
        covariance = slow(parts[0], length)[np.ix_(observed, observed)] + noise * np.eye(3)
        student = multivariate_t([float(solved.constant[0])] * 3, covariance, df=6)
        found.append((float(solved.likelihood[0]), student.logpdf(y)))
    (a, b), (c, d) = found
    assert a - c == pytest.approx(b - d, abs=1e-4)


def test_weights_go_to_what_explains_the_data():
    rng = np.random.default_rng(3)
    features, z = rng.normal(size=(300, 4)), rng.normal(size=(300, 3))
    similarity, linear = Similarity(features), Linear(z)
    observed = list(range(25))
    for target, name in ((z @ [1.0, -2.0, 0.5], "linear"), (np.sin(2 * features[:, 0]), "similarity")):
        hypotheses = [ModelHypothesis((similarity,), True, 1.0), ModelHypothesis((similarity, linear), True, 1.0)]
        model = MarginalisedGP([similarity, linear], None, Priors(), hypotheses)
        y = (target - target[:25].mean()) / target[:25].std()
        found = model.predict(observed, y[:25], np.random.default_rng(0))
        if name == "linear":
            assert found.kernel_weights[1] > 0.5
            assert np.corrcoef(found.mean.numpy()[25:], y[25:])[0, 1] > 0.9
        else:
            assert found.kernel_weights[1] < 0.2


def test_without_a_hint_the_mean_function_is_the_order():
    rng = np.random.default_rng(0)
    prior = rng.normal(size=50)
    model = MarginalisedGP([Similarity(rng.normal(size=(50, 2)))], prior, Priors(means=(0.6,)))
    found = model.predict([0, 1], np.array([0.0, 0.0]), rng)
    far = np.arange(2, 50)
    assert np.corrcoef(found.mean.numpy()[far], prior[far])[0, 1] > 0.5


def test_a_function_of_its_generator():
    rng = np.random.default_rng(0)
    model = MarginalisedGP([Similarity(rng.normal(size=(30, 2)))])
    first, again, other = (
        model.predict([1, 2, 3], np.array([0.1, 1.0, -1.0]), np.random.default_rng(seed)).mean for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_matern_is_one_at_zero_and_falls():
    values = matern(torch.linspace(0, 5, 20))
    assert float(values[0]) == 1.0
    assert bool((values.diff() < 0).all())
