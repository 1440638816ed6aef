"""BoTorch's acquisition functions on a surrogate over a pool."""

from __future__ import annotations

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound, qUpperConfidenceBound
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.optim import optimize_acqf_discrete
from botorch.sampling import SobolQMCNormalSampler

from po_nas.errors import SurrogateDataError
from surrogates.base import Posterior, Surrogate
from surrogates.botorch_model import PoolModel
from surrogates.encodings import Encodings
from tests.errors import raised

N = 12
POOL = Encodings(
    torch.zeros(N, 1, 1), torch.zeros(N, 1, 1), torch.zeros(N, 1, 1, 1), torch.ones(N, 1, dtype=torch.bool)
)


class Known(Surrogate):
    """Believes what it is told."""

    def __init__(self, mean, std, samples):
        self.known = Posterior(mean, std, samples)
        self._shape = POOL.shape

    def learn(self, inputs, targets, **options):
        raise NotImplementedError

    def predict(self, inputs):
        return self.known


@pytest.fixture
def model():
    samples = torch.randn(5, N, generator=torch.Generator().manual_seed(0))
    own = torch.linspace(0.1, 1, N)
    return PoolModel(Known(samples.mean(0), (samples.var(0) + own).sqrt(), samples), POOL)


def test_marginals_are_the_surrogates(model):
    found = model.posterior(model.indices[:, None])
    assert found.mean.shape == (N, 1, 1)
    torch.testing.assert_close(found.mean.flatten(), model._mean)
    variance = model._deviations.square().sum(0) + model._own
    torch.testing.assert_close(found.variance.flatten(), variance, rtol=1e-4, atol=1e-6)


def test_members_make_the_covariance(model):
    rows = torch.tensor([[3.0], [7.0], [3.0]])
    covariance = model.posterior(rows).distribution.covariance_matrix
    samples = torch.randn(5, N, generator=torch.Generator().manual_seed(0)).double()
    wanted = torch.cov(samples[:, [3, 7]].T)
    assert covariance[0, 1] == pytest.approx(float(wanted[0, 1]), rel=1e-4)
    # One architecture twice is one value.
    assert covariance[0, 2] == pytest.approx(float(covariance[0, 0]), rel=1e-4)
    assert torch.linalg.cholesky_ex(covariance).info == 0


def test_one_member_has_no_covariance():
    model = PoolModel(Known(torch.zeros(N), torch.ones(N), torch.zeros(1, N)), POOL)
    torch.testing.assert_close(
        model.posterior(model.indices).distribution.covariance_matrix, torch.eye(N).double(), rtol=1e-4, atol=1e-4
    )


def test_analytic_acquisitions(model):
    points = model.indices[:, None]
    improvement = LogExpectedImprovement(model, best_f=model._mean.max())(points)
    assert improvement.shape == (N,)
    bound = UpperConfidenceBound(model, beta=4.0)(points)
    torch.testing.assert_close(bound, model._mean + 2 * model.posterior(points).variance.flatten().sqrt())


def test_monte_carlo_acquisitions_choose_a_batch(model):
    sampler = SobolQMCNormalSampler(torch.Size([64]), seed=0)
    baseline = model.indices[:4]
    acquisitions = (
        qUpperConfidenceBound(model, beta=4.0, sampler=sampler),
        qLogExpectedImprovement(model, best_f=model._mean[:4].max(), sampler=sampler),
        qLogNoisyExpectedImprovement(model, X_baseline=baseline, sampler=sampler, prune_baseline=True),
    )
    for acquisition in acquisitions:
        chosen, values = optimize_acqf_discrete(acquisition, q=3, choices=model.indices[4:])
        assert len(chosen.unique()) == 3
        assert chosen.min() >= 4
        assert torch.isfinite(values).all()


def test_rows_outside_of_the_pool(model):
    with raised(SurrogateDataError, "X", "12"):
        model.posterior(torch.tensor([[12.0]]))
