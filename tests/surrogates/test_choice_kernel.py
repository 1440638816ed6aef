"""The kernel over named choices: against its formula in numpy, and what it learns."""

from __future__ import annotations

import numpy as np
import torch
from botorch.fit import fit_gpytorch_mll
from gpytorch.mlls import ExactMarginalLogLikelihood
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogates.choice_kernel import ChoiceKernel, _Sum
from surrogates.gaussian_process import ArchitectureGP

GROUPS = [[0], [1, 2, 3], [4], [5, 6]]


def points(n, seed=0):
    return torch.tensor(np.random.default_rng(seed).random((n, 7)))


def kernel():
    made = ChoiceKernel(points(20), GROUPS)
    generator = torch.Generator().manual_seed(3)
    for parameter in made.parameters():
        parameter.data += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.double)
    return made


def matern(d):
    return (1 + np.sqrt(5) * d + 5 * d**2 / 3) * np.exp(-np.sqrt(5) * d)


def test_the_formula():
    k, a, b = kernel(), points(6, 1), points(4, 2)
    lengths, amplitudes, joint = (k._value(n).detach().numpy() for n in ("lengthscales", "amplitudes", "joint"))
    train, expected, total = points(20).numpy(), 0.0, 0.0
    # choices of one column are ordered first
    for number, group in enumerate(sorted(GROUPS, key=len)):

        def squares(x, y, group=group):
            return ((x[:, None, group] - y[None, :, group]) ** 2).sum(-1)

        apart = squares(train, train)[np.triu_indices(20, 1)]
        unit = np.sort(apart)[(len(apart) - 1) // 2]
        scaled = squares(a.numpy(), b.numpy()) / unit / lengths[number] ** 2
        expected = expected + amplitudes[number] * matern(np.sqrt(scaled))
        total = total + scaled / len(GROUPS)
    expected = expected + joint * matern(np.sqrt(total))
    found = k(a, b).to_dense().detach().numpy()
    assert np.allclose(found, expected, atol=1e-8)
    assert np.allclose(k(a, diag=True).detach().numpy(), k.variance.item())
    batch = torch.stack([a, a + 0.1])
    assert np.allclose(k(batch, b.expand(2, 4, 7)).to_dense()[0].detach().numpy(), expected, atol=1e-8)


def test_covariances_are_positive_semidefinite():
    a = torch.cat([points(30, 5), points(3, 5)])  # with repetitions
    covariance = kernel()(a).to_dense().detach()
    torch.testing.assert_close(covariance, covariance.mT)
    assert torch.linalg.eigvalsh(covariance).min() > -1e-8


@given(st.integers(0, 10_000), st.sets(st.integers(0, len(GROUPS) - 1), min_size=1), st.floats(1e-3, 1e3))
@settings(max_examples=40)
def test_a_choice_that_all_points_have_in_common_changes_nothing(seed, common, size):
    """Whatever rounding there is, that of a constant is not taken for distances: covariances stay positive definite."""
    x, new = points(25, seed), points(6, seed + 1)
    for number in common:
        x[:, GROUPS[number]] = size * points(1, seed + 2)[0, GROUPS[number]]
    k = ChoiceKernel(x, GROUPS)
    covariance = k(x).to_dense().detach()
    assert torch.linalg.eigvalsh(covariance).min() > -1e-8
    bare = x.clone()
    for number in common:
        bare[:, GROUPS[number]] = 0.0
    torch.testing.assert_close(covariance, ChoiceKernel(bare, GROUPS)(bare).to_dense().detach())
    for number in common:
        new[:, GROUPS[number]] = x[0, GROUPS[number]]
    with torch.no_grad():
        joined = torch.cat([x, new])
        whole = k(joined, joined).to_dense()
    torch.testing.assert_close(whole, k(joined).to_dense().detach())
    assert torch.linalg.eigvalsh(whole).min() > -1e-8


def test_marginals_are_botorchs():
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.random((25, 10)))
    y = torch.tensor(rng.normal(size=25))
    gp = ArchitectureGP(x, y, [3, 7], GROUPS)
    assert gp.fit()
    found = torch.tensor(rng.random((12, 10)))
    mean, variance = gp.marginals([torch.cdist(found[:, :3], x[:, :3]), found[:, 3:]])
    with torch.no_grad():
        posterior = gp.posterior(found.unsqueeze(1))
    torch.testing.assert_close(mean, posterior.mean.reshape(-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(variance, posterior.variance.reshape(-1), atol=1e-6, rtol=0)


def test_it_learns_which_choice_matters():
    rng = np.random.default_rng(1)
    x = rng.random((60, 7))
    y = np.sin(6 * x[:, 4])
    y = torch.tensor((y - y.mean()) / y.std())
    errors = []
    new = rng.random((200, 7))
    truth = np.sin(6 * new[:, 4])
    for groups in ([[k] for k in range(7)], ()):
        gp = ArchitectureGP(torch.tensor(x), y, [7], groups)
        assert gp.fit()
        inputs = torch.tensor(new) if groups else torch.cdist(torch.tensor(new), torch.tensor(x))
        errors.append(np.corrcoef(gp.marginals([inputs])[0].detach().numpy(), truth)[0, 1])
    assert errors[0] > 0.97
    assert errors[0] > errors[1]


def test_derivatives():
    generator = torch.Generator().manual_seed(0)
    squares, lengths, amplitudes = (
        torch.rand(shape, generator=generator, dtype=torch.double) + 0.1 for shape in ((3, 4), 3, 3)
    )
    squares[0, 0] = 0.0
    scales = [one.requires_grad_() for one in (lengths, amplitudes, torch.ones(1, dtype=torch.double))]
    assert torch.autograd.gradcheck(lambda *given: _Sum.apply(squares, *given), scales)
    # At distance 0 there is a derivative from one side alone.
    inner = (squares + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(_Sum.apply, (inner, *scales))


def test_every_way_to_compute_it_gives_the_same():
    k, train, new = kernel(), points(20), points(9, 4)
    with torch.no_grad():
        quick = k.forward(new, train)
        assert torch.allclose(k.forward(train, train), k.forward(train, train.clone() + 1e-300), atol=1e-7)
    torch.testing.assert_close(quick, k.forward(new, train).detach(), atol=1e-7, rtol=0)


def test_the_fit_is_botorchs():
    rng = np.random.default_rng(3)
    x = torch.tensor(rng.random((25, 7)))
    y = torch.sin(4 * x[:, 0]) + x[:, 4] + 0.1 * torch.tensor(rng.normal(size=25))
    y = (y - y.mean()) / y.std()
    found = []
    for by_botorch in (False, True):
        gp = ArchitectureGP(x, y, [7], GROUPS)
        likelihood = ExactMarginalLogLikelihood(gp.likelihood, gp)
        if by_botorch:
            fit_gpytorch_mll(likelihood)
        else:
            assert gp.fit()
        gp.train()
        with torch.no_grad():
            found.append((likelihood(gp(x), y).item(), gp.covar_module.kernels[0].scales[0]))
    assert abs(found[0][0] - found[1][0]) < 1e-3
    torch.testing.assert_close(found[0][1], found[1][1].detach(), rtol=0.05, atol=0.02, check_dtype=False)
