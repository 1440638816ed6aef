"""The ensemble: where it starts, what it learns, and that members are their own."""

from __future__ import annotations

import pytest
import torch

import losses
from po_nas.errors import ConfigError, NotFittedError, SurrogateDataError, TrainingDivergedError
from surrogates.fusion.encoder import Embeddings
from surrogates.fusion.ensemble import FusionEnsemble
from surrogates.fusion.settings import FusionSettings
from tests.errors import raised

from .conftest import embedded, uniform

EMBEDDED, Z = embedded(), uniform(60, 4)


def fitted(y, n=40, seed=0, z=Z, loss="po_nas", prior=None, members=3, **options):
    rows = torch.arange(n)
    settings = FusionSettings(**{"steps": 60, "own_steps": 15, **options})
    ensemble = FusionEnsemble(members=members, loss=loss, prior=prior, settings=settings)
    return ensemble.fit(EMBEDDED[rows], z[:n], y[:n], seed)


def agreement(ensemble, y, rows=slice(40, 60)):
    scores = ensemble.scores(EMBEDDED, Z).mean(0)
    return float(torch.corrcoef(torch.stack([scores[rows], y[rows]]))[0, 1])


def test_without_data_it_is_the_mean_of_the_metrics():
    for n in (0, 1):
        ensemble = fitted(Z[:, 0], n)
        torch.testing.assert_close(ensemble.scores(EMBEDDED, Z), Z.mean(1).expand(3, 60))
        assert ensemble.objective.isnan().all()
    alike = fitted(torch.ones(60))
    torch.testing.assert_close(alike.scores(EMBEDDED, Z), Z.mean(1).expand(3, 60), atol=0.02, rtol=0)


def test_a_prior_is_where_it_starts():
    ensemble = fitted(Z[:, 0], 0, prior=[1, 0, -1, 2])
    expected = (Z[:, 0] + 1 - Z[:, 2] + 2 * Z[:, 3]) / 4
    torch.testing.assert_close(ensemble.scores(EMBEDDED, Z), expected.expand(3, 60))


@pytest.mark.parametrize("scope", ["architecture", "global"])
def test_it_finds_the_metric_that_matters_and_the_one_that_misleads(scope):
    y = 3 * Z[:, 1] - 3 * Z[:, 2]
    ensemble = fitted(y, scope=scope)
    assert agreement(ensemble, y) > 0.9
    weights = ensemble.weights(EMBEDDED, Z).mean(0)
    assert float(weights[1]) > 0.25
    assert float(weights[2]) < -0.25
    assert agreement(fitted(y, scope="equal"), y) < 0.5


def test_weights_of_their_own_fit_what_one_vector_cannot():
    """Metric 0 counts upwards for half of the architectures, downwards for the others, also for those not seen."""
    generator = torch.Generator().manual_seed(0)
    side = torch.arange(160) % 2 == 0
    pooled = torch.where(side, 1.0, -1.0)[:, None] + 0.3 * torch.randn(160, 8, generator=generator)
    data, z = Embeddings(pooled[:, None], torch.ones(160, 1, dtype=torch.bool), pooled), uniform(160, 2)
    y = torch.where(side, z[:, 0], 1 - z[:, 0])
    found = {}
    for scope in ("architecture", "global"):
        settings = FusionSettings(scope=scope, own_steps=60, prior_strength=0.1, own_strength=0.1)
        ensemble = FusionEnsemble(members=2, settings=settings).fit(data[:60], z[:60], y[:60], 0)
        scores = ensemble.scores(data, z).mean(0)[60:]
        found[scope] = float(torch.corrcoef(torch.stack([scores, y[60:]]))[0, 1]), ensemble.weights(data, z)[60:, 0]
    (own, weights), (common, alike) = found["architecture"], found["global"]
    assert own > common + 0.3
    assert float(weights[side[60:]].mean()) > float(weights[~side[60:]].mean()) + 0.2
    assert float(alike.std(0)) < 1e-6


def test_weights_of_their_own_that_help_nobody_are_not_used():
    """Noise: what fits the training data orders architectures left out no better."""
    with_own, without = (fitted(Z[:, 1], scope=scope, own_steps=40) for scope in ("architecture", "global"))
    torch.testing.assert_close(with_own.scores(EMBEDDED, Z), without.scores(EMBEDDED, Z))


def test_the_penalties_pull():
    y = uniform(60, 1, seed=5)[:, 0]
    near, far = (fitted(y, scope="global", prior_strength=strength).weights(EMBEDDED, Z) for strength in (1e3, 0.0))
    assert float((near.mean(0) - 0.25).abs().max()) < 0.05 < float((far.mean(0) - 0.25).abs().max())
    alike, apart = (
        fitted(y, own_strength=strength, steps=30).weights(EMBEDDED[:40], Z[:40]) for strength in (1e3, 0.0)
    )
    assert float(alike.std(0).max()) < 0.05 < float(apart.std(0).max())


def test_it_repeats_and_draws_from_nobody_else():
    y = Z[:, 1]
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first = fitted(y, seed=1, steps=20)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    torch.rand(1)
    scores = first.scores(EMBEDDED, Z)
    assert torch.equal(scores, fitted(y, seed=1, steps=20).scores(EMBEDDED, Z))
    assert not torch.equal(scores, fitted(y, seed=2, steps=20).scores(EMBEDDED, Z))
    assert float(scores.std(0).max()) > 1e-4


def test_a_member_is_the_member_alone():
    y = Z[:, 1] - Z[:, 3]
    many, one = (fitted(y, members=count, steps=9, scope="global") for count in (3, 1))
    torch.testing.assert_close(many.scores(EMBEDDED, Z)[:1], one.scores(EMBEDDED, Z), atol=1e-4, rtol=1e-3)


def test_the_best_weights_are_kept():
    """Steps that are far too large do not end in a worse loss than the start's."""
    y = Z[:, 1]
    start, wild = (fitted(y, steps=steps, learning_rate=rate) for steps, rate in ((1, 1e-9), (30, 5.0)))
    assert bool((wild.objective <= start.objective + 1e-6).all())


@pytest.mark.parametrize("loss", ["mse", "warp", "diff_kendall", "mape", "soft_topk", "scheduled"])
def test_any_loss(loss):
    y = 0.5 + 0.2 * Z[:, 1] - 0.2 * Z[:, 2]
    assert agreement(fitted(y, loss=loss), y) > agreement(fitted(y, scope="equal"), y) + 0.2


def test_a_stochastic_loss_repeats():
    found = [fitted(Z[:, 1], loss=losses.get("warp", mode="sampled"), steps=5) for _ in range(2)]
    assert torch.equal(*(one.scores(EMBEDDED, Z) for one in found))


def test_the_papers_raw_scores():
    y = 0.5 + 0.4 * Z[:, 1]
    options = {
        "reference": True,
        "attention_keys": "pooled",
        "standardize": False,
        "prior_strength": 0.0,
        "own_strength": 0.0,
    }
    ensemble = fitted(y, loss=losses.get("po_nas", labels="fraction"), loss_tolerance=0.1, steps=200, **options)
    assert agreement(ensemble, y, slice(0, 40)) > 0.8


def test_missing_metrics_are_not_trusted():
    z = Z.clone()
    z[::4, 1] = torch.nan
    z[5, :3] = torch.inf
    z[7] = torch.nan
    ensemble = fitted(Z[:, 1], z=z)
    scores, weights = ensemble.scores(EMBEDDED, z), ensemble.weights(EMBEDDED, z)
    assert torch.isfinite(scores).all()
    assert bool((weights[~torch.isfinite(z)] == 0).all())
    assert bool((scores[:, 7] == 0.5).all())
    only = torch.minimum((scores[:, 5] - z[5, 3]).abs(), (scores[:, 5] - 1 + z[5, 3]).abs())
    torch.testing.assert_close(only, torch.zeros(3))


def test_double_precision_is_accepted():
    y = Z[:, 1].double()
    ensemble = fitted(y, z=Z.double(), steps=3)
    assert ensemble.scores(EMBEDDED, Z.double()).shape == (3, 60)


def test_no_candidates():
    ensemble = fitted(Z[:, 1], steps=1)
    assert ensemble.scores(EMBEDDED[:0], Z[:0]).shape == (3, 0)
    assert ensemble.weights(EMBEDDED[:0], Z[:0]).shape == (0, 4)


def test_bad_input():
    with pytest.raises(NotFittedError):
        FusionEnsemble().scores(EMBEDDED, Z)
    with raised(SurrogateDataError, "60", "(5, 4)", "(5,)"):
        FusionEnsemble().fit(EMBEDDED, Z[:5], Z[:5, 0], 0)
    with pytest.raises(SurrogateDataError):
        fitted(torch.full((60,), torch.nan))
    with raised(SurrogateDataError, "(60, 2)", "(60, 4)"):
        fitted(Z[:, 1], 0).scores(EMBEDDED, Z[:, :2])
    with raised(ConfigError, key="prior", value=[1.0]):
        fitted(Z[:, 1], prior=[1.0])
    with raised(ConfigError, key="members", value=0):
        FusionEnsemble(members=0)
    with raised(ConfigError, key="own_strength", value=-1):
        FusionSettings(own_strength=-1)


def test_a_loss_that_is_not_finite_is_named():
    losses.register("broken", summary="not finite")(lambda pred, target: (pred - target).sum() / 0)
    try:
        with raised(TrainingDivergedError, loss="broken"):
            fitted(Z[:, 1], loss="broken")
    finally:
        losses.registry.remove("broken")
