"""The Gaussian process against BoTorch's own posterior and against the textbook."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import norm, rankdata

from proxies.normalise import normal_scores
from surrogates import gaussian_process
from surrogates.gaussian_process import ArchitectureGP, FitFallbackWarning

BLOCKS = [4, 2]


def data(n=25, d=6, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (n, d)) / 3.0
    return torch.tensor(features), torch.tensor(normal_scores(features.sum(1) + 0.2 * rng.normal(size=n)))


def model(fit=True, seed=0):
    gp = ArchitectureGP(*data(seed=seed), BLOCKS)
    if fit:
        assert gp.fit()
    return gp.eval()


def candidates(m=40, seed=1):
    return torch.tensor(np.random.default_rng(seed).integers(0, 4, (m, 6)) / 3.0)


def marginals(gp, features):
    pairs = zip(features.split(BLOCKS, 1), gp.train_inputs[0].split(BLOCKS, 1), strict=True)
    return gp.marginals([torch.cdist(a, b) for a, b in pairs])


@pytest.mark.parametrize("fit", [True, False])
def test_marginals_are_botorchs(fit):
    gp, found = model(fit), candidates()
    mean, variance = marginals(gp, found)
    with torch.no_grad():
        posterior = gp.posterior(found.unsqueeze(1))
    assert mean.shape == variance.shape == (40,)
    torch.testing.assert_close(mean, posterior.mean.reshape(-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(variance, posterior.variance.reshape(-1), atol=1e-6, rtol=0)


def test_marginals_are_the_textbooks():
    """Rasmussen and Williams, equations 2.25 and 2.26, with a Matérn-5/2 kernel, in numpy."""
    gp, found = model(), candidates()
    train, targets = (t.numpy() for t in (gp.train_inputs[0], gp.train_targets))
    parts = [(k.base_kernel.lengthscale.item(), k.outputscale.item()) for k in gp.covar_module.kernels]
    amplitude = sum(part for _, part in parts)
    noise, constant = gp.likelihood.noise.item(), gp.mean_module.constant.item()

    def kernel(a, b):
        total = 0.0
        for (scale, part), columns in zip(parts, (slice(0, 4), slice(4, 6)), strict=True):
            r = np.sqrt(5) * np.linalg.norm(a[:, None, columns] - b[None, :, columns], axis=-1) / scale
            total = total + part * (1 + r + r**2 / 3) * np.exp(-r)
        return total

    inverse = np.linalg.inv(kernel(train, train) + noise * np.eye(len(train)))
    cross = kernel(found.numpy(), train)
    mean, variance = marginals(gp, found)
    np.testing.assert_allclose(mean.numpy(), constant + cross @ inverse @ (targets - constant), atol=1e-6)
    np.testing.assert_allclose(variance.numpy(), amplitude - np.sum(cross @ inverse * cross, axis=1), atol=1e-6)
    assert not mean.requires_grad


def test_a_fit_raises_the_likelihood_and_is_used_at_once():
    """What was worked out under the old scales must not be used under the new ones."""
    gp = model(fit=False)
    before = marginals(gp, candidates())[0]
    mll = gaussian_process.ExactMarginalLogLikelihood(gp.likelihood, gp)

    def likelihood():
        gp.train()
        value = mll(gp(*gp.train_inputs), gp.train_targets).item()
        gp.eval()
        return value

    start = likelihood()
    assert gp.fit()
    assert likelihood() > start + 0.01
    after = marginals(gp, candidates())
    assert not torch.allclose(before, after[0])
    with torch.no_grad():
        torch.testing.assert_close(
            after[0], gp.posterior(candidates().unsqueeze(1)).mean.reshape(-1), atol=1e-6, rtol=0
        )


def test_it_learns_and_is_surest_where_it_has_looked():
    gp = model()
    train = gp.train_inputs[0]
    mean, variance = marginals(gp, train)
    assert np.corrcoef(mean, gp.train_targets)[0, 1] > 0.95
    far = train + 50.0
    mean_far, variance_far = marginals(gp, far)
    assert variance.max() < variance_far.min()
    prior = sum(k.outputscale for k in gp.covar_module.kernels)
    torch.testing.assert_close(variance_far, prior.expand(len(far)), atol=1e-6, rtol=0)
    torch.testing.assert_close(mean_far, gp.mean_module.constant.expand(len(far)), atol=1e-6, rtol=0)


def test_double_precision_whatever_comes_in():
    features, targets = data()
    gp = ArchitectureGP(features.float(), targets.float(), BLOCKS)
    assert {p.dtype for p in gp.parameters()} == {torch.float64}
    assert gp.train_inputs[0].dtype == gp.train_targets.dtype == torch.float64


@pytest.mark.parametrize("case", ["one point many times", "constant targets", "two points"])
def test_degenerate_data(case):
    features, targets = data()
    if case == "one point many times":
        features = features[:1].expand(25, -1).clone()
    elif case == "constant targets":
        targets = torch.zeros_like(targets)
    else:
        features, targets = features[:2], targets[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitFallbackWarning)
        gp = ArchitectureGP(features, targets, BLOCKS)
        gp.fit()
    mean, variance = marginals(gp, candidates())
    assert mean.isfinite().all()
    assert variance.isfinite().all()
    assert (variance > 0).all()


@pytest.mark.parametrize("error", [gaussian_process.ModelFittingError, gaussian_process.NanError, RuntimeError])
def test_a_failed_fit_is_said_and_leaves_the_prior_scales(monkeypatch, caplog, error):
    gp, said = model(fit=False), "no convergence"
    before = {name: value.clone() for name, value in gp.state_dict().items()}

    def fail(mll, **_):
        mll.model.covar_module.kernels[0].outputscale = 99.0
        raise error(said)

    monkeypatch.setattr(gaussian_process, "fit_gpytorch_mll", fail)
    with pytest.warns(FitFallbackWarning, match=f"25 .*{said}"):
        assert gp.fit() is False
    assert all(torch.equal(value, before[name]) for name, value in gp.state_dict().items())
    assert said in caplog.text
    assert not gp.training
    marginals(gp, candidates())


FINITE = st.floats(-1e6, 1e6, allow_subnormal=False)
VALUES = arrays.arrays(float, st.integers(1, 40), elements=FINITE | st.sampled_from([0.0, 1.0, 91.5]))


@given(VALUES)
def test_normal_scores_are_quantiles_of_the_ranks(y):
    scores = normal_scores(y)
    np.testing.assert_allclose(scores, norm.ppf((rankdata(y) - 0.5) / len(y)), atol=1e-12)
    order = np.argsort(y)
    assert (np.diff(scores[order]) >= 0).all()
    for value in np.unique(y):
        assert len(np.unique(scores[y == value])) == 1
    same = y[:, None] == y[None]
    np.testing.assert_array_equal(same, scores[:, None] == scores[None])


@given(arrays.arrays(float, st.integers(1, 40), elements=FINITE, unique=True))
def test_normal_scores_are_balanced(y):
    scores = normal_scores(y)
    assert abs(scores.sum()) < 1e-9
    np.testing.assert_allclose(normal_scores(-y), -scores, atol=1e-12)


@settings(max_examples=50)
@given(arrays.arrays(float, st.integers(1, 30), elements=st.integers(-50, 50).map(float)), st.integers(0, 2))
def test_normal_scores_ignore_monotone_maps(y, which):
    mapped = (lambda v: 3.0 * v + 1.0, lambda v: v**3, lambda v: np.exp(v / 10.0))[which](y)
    np.testing.assert_array_equal(normal_scores(mapped), normal_scores(y))
