"""Deep ensembles: units, calibration, folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import surrogates
from losses import LossInputError
from po_nas import spaces
from po_nas.errors import ConfigError, SurrogateDataError, UnknownNameError
from surrogates.encodings import Encodings
from surrogates.ensemble import Calibration, folds
from tests.errors import raised

SMALL = {"settings": {"steps": 120}, "network_options": {"width": 16}}


@pytest.fixture(scope="module")
def problem():
    """460 cells with targets around 70, a smooth function of the graph plus noise of standard deviation 1."""
    space, rng = spaces.get("nasbench201"), np.random.default_rng(0)
    inputs = Encodings.stack(space.encode_graph(space.sample(rng)) for _ in range(460))
    signal = inputs.edges.sum((1, 2)) @ torch.tensor([-1.5, 0.0, 1.0, 2.0, 0.5]) + 2 * inputs.edges[:, 0, 3, 3]
    return inputs, 70 + signal + torch.from_numpy(rng.normal(size=460)).float()


@pytest.mark.parametrize("loss", ["mse", "hr", "listmle"])
@pytest.mark.parametrize("members", [1, 5])
def test_intervals_hold_what_they_promise(problem, loss, members):
    """Under ranking losses, whose outputs have no scale, as well; in the units of the targets."""
    inputs, targets = problem
    ensemble = surrogates.get("ensemble", members=members, loss=loss, **SMALL).fit(inputs[:60], targets[:60])
    found = ensemble.posterior(inputs[60:])
    apart = ((targets[60:] - found.mean) / found.std).abs()
    assert 0.82 < (apart < 1.645).float().mean() < 0.99
    assert 0.55 < (apart < 1).float().mean() < 0.92
    assert torch.corrcoef(torch.stack([found.mean, targets[60:]]))[0, 1] > 0.6
    assert found.samples.shape == (members, 400)
    assert (found.samples.mean(0) - found.mean).abs().max() < 1e-3
    # It knows more than nothing, and not more than the noise lets it.
    assert 0.8 < found.std.mean() < targets.std()


def test_members_disagree_more_far_from_the_data(problem):
    inputs, targets = problem
    ensemble = surrogates.get("ensemble", members=5, loss="mse", **SMALL).fit(inputs[:60], targets[:60])
    odd = Encodings(3 * inputs.nodes[:60], inputs.adjacency[:60], 3 * inputs.edges[:60], inputs.mask[:60])
    assert ensemble.posterior(odd).std.mean() > 1.2 * ensemble.posterior(inputs[60:]).std.mean()


def test_a_predictor_that_has_learnt_nothing_says_so(problem):
    inputs, _ = problem
    noise = torch.randn(60, generator=torch.Generator().manual_seed(0))
    found = surrogates.get("ensemble", members=3, loss="hr", **SMALL).fit(inputs[:60], noise).posterior(inputs[60:])
    assert found.std.mean() > 0.8
    assert found.mean.std() < 0.5


@pytest.mark.parametrize("name", ["ensemble", "fused_predictor", "gcn"])
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("more", [0, 20])
def test_a_fit_that_is_refused_leaves_the_last_one(problem, name, warm_start, more):
    inputs, targets = problem
    found = surrogates.get(name, loss="mape", settings={"steps": 10}, network_options={"width": 16})
    found.fit(inputs[:30], targets[:30] / 100, seed=3)
    before = found.posterior(inputs[60:90])
    with raised(LossInputError, loss="mape"):
        found.fit(inputs[: 30 + more], targets[: 30 + more], seed=4, warm_start=warm_start)
    after = found.posterior(inputs[60:90])
    assert torch.equal(before.mean, after.mean)
    assert torch.equal(before.std, after.std)
    again = surrogates.get(name, loss="mape", settings={"steps": 10}, network_options={"width": 16})
    again.fit(inputs[:30], targets[:30] / 100, seed=3).fit(inputs[:40], targets[:40] / 100, seed=5, warm_start=True)
    found.fit(inputs[:40], targets[:40] / 100, seed=5, warm_start=True)
    assert torch.equal(again.posterior(inputs[60:]).mean, found.posterior(inputs[60:]).mean)


@pytest.mark.parametrize("name", ["ensemble", "fused_predictor", "gcn"])
@pytest.mark.parametrize("unit", [1e-30, 1e-6, 1e26])
def test_targets_may_have_any_unit(problem, name, unit):
    inputs, targets = problem
    found = surrogates.get(name, loss="mse", settings={"steps": 10}, network_options={"width": 16})
    plain = found.fit(inputs[:30], targets[:30]).posterior(inputs[60:])
    scaled = found.fit(inputs[:30], targets[:30].double() * unit).posterior(inputs[60:])
    if unit > 1e-20:
        # Below, all targets count as equal.
        assert torch.allclose(scaled.mean / unit, plain.mean, rtol=1e-3)
        assert torch.allclose(scaled.std / unit, plain.std, rtol=1e-2)
    assert scaled.mean.isfinite().all()
    assert scaled.std.isfinite().all()
    with raised(SurrogateDataError, "1e+300"):
        found.fit(inputs[:30], torch.full((30,), 1e300, dtype=torch.float64))


def test_targets_are_a_tensor(problem):
    with raised(SurrogateDataError, "list"):
        surrogates.get("gcn").fit(problem[0][:3], [1.0, 2.0, 3.0])


def test_warm_start_keeps_the_folds(problem):
    inputs, targets = problem
    ensemble = surrogates.get("ensemble", members=3, loss="mse", **SMALL).fit(inputs[:40], targets[:40], seed=4)
    first = ensemble.trained
    assert first is not None
    ensemble.fit(inputs[:60], targets[:60], seed=5, warm_start=True)
    assert (ensemble.trained.final_loss < first.final_loss + 0.05).all()
    apart = ((targets[60:] - ensemble.posterior(inputs[60:]).mean) / ensemble.posterior(inputs[60:]).std).abs()
    assert (apart < 1.645).float().mean() > 0.8
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    assert torch.equal(folds(40, 3, generators[0]), folds(60, 3, generators[1])[:40])


def test_folds_are_even():
    found = folds(23, 5, torch.Generator().manual_seed(0))
    assert sorted(torch.bincount(found).tolist()) == [4, 4, 5, 5, 5]


def test_what_was_held_out_decides():
    """Models that are perfect where they looked and wrong elsewhere are believed to be wrong."""
    targets = torch.linspace(-1, 1, 40)
    held_out = torch.zeros(2, 40, dtype=torch.bool)
    held_out[0, ::2] = held_out[1, 1::2] = True
    noise = torch.randn(2, 40, generator=torch.Generator().manual_seed(0))
    outputs = torch.where(held_out, noise, targets)
    found = Calibration.fit(outputs, held_out, targets, 2)
    assert found.posterior(outputs).std.mean() > 0.9 * targets.std()
    honest = Calibration.fit(targets.expand(2, -1), held_out, targets, 2)
    assert honest.posterior(targets.expand(2, -1)).std.max() < 1e-3
    assert honest.slope == pytest.approx(1)
    reversed_ = Calibration.fit(-targets.expand(2, -1), held_out, targets, 2)
    assert reversed_.slope == 0


def test_a_reference_set(problem):
    inputs, targets = problem
    found = surrogates.get("gcn", loss="hr", **SMALL).fit(inputs[:60], targets[:60], reference=inputs)
    assert torch.corrcoef(torch.stack([found.posterior(inputs[60:]).mean, targets[60:]]))[0, 1] > 0.6


def test_names_and_options():
    assert {"mlp", "gcn", "gat", "pinat", "ensemble"} <= set(surrogates.names())
    assert surrogates.get("gcn").members == 1
    assert surrogates.get("ensemble").members == 5
    with pytest.raises(UnknownNameError):
        surrogates.get("gnc")
    with pytest.raises(UnknownNameError):
        surrogates.get("ensemble", loss="wrap")
    with raised(ConfigError, key="members", value=0):
        surrogates.get("ensemble", members=0)
    with raised(ConfigError, "steps", key="settings.step"):
        surrogates.get("ensemble", settings={"step": 3})
    with raised(ConfigError, "'layers'", value=3):
        surrogates.get("gcn", network_options={"layer": 3})
