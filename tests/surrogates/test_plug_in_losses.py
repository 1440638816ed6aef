"""Networks are trained under functions that users wrote as losses, or it is said what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import losses
import surrogates
from losses import LossInputError
from po_nas import spaces
from tests.errors import raised

OPTIONS = {"members": 3, "settings": {"steps": 8}, "network_options": {"width": 8}}


@pytest.fixture
def plug_in(request):
    """A function as a loss, taken out of the registry afterwards."""
    losses.register("plug_in", summary="of a test")(request.param)
    yield request.param
    losses.registry.remove("plug_in")


@pytest.fixture(scope="module")
def problem():
    space, rng = spaces.get("nasbench201"), np.random.default_rng(0)
    inputs = surrogates.Encodings.stack(space.encode_graph(space.sample(rng)) for _ in range(20))
    return inputs, torch.linspace(0, 1, 20)


def branches(pred, target):
    error = (pred - target).square()
    return error.mean() if error.max() > 1e-6 else error.sum()


def of_a_shape_that_depends_on_values(pred, target):
    return (pred - target).square()[pred > pred.mean() - 1e3].mean()


def takes_numbers(pred, target):
    return (pred - target).square().mean() * max(1.0, float(target.max()) / 1e6)


@pytest.mark.parametrize(
    "plug_in", [branches, of_a_shape_that_depends_on_values, takes_numbers], indirect=True, ids=lambda f: f.__name__
)
def test_one_that_cannot_be_computed_for_all_at_once_is_for_each(plug_in, problem):
    found, plain = (
        surrogates.get("ensemble", loss=loss, **OPTIONS).fit(*problem).posterior(problem[0])
        for loss in ("plug_in", "mse")
    )
    assert torch.allclose(found.mean, plain.mean, atol=1e-3)
    assert torch.allclose(found.std, plain.std, atol=1e-3)


def of_each(pred, target):
    return (pred - target).square()


def a_number(pred, target):
    return 1.0


def whole(pred, target):
    return torch.tensor(1)


def without_a_gradient(pred, target):
    return target.mean()


@pytest.mark.parametrize(
    "plug_in", [of_each, a_number, whole, without_a_gradient], indirect=True, ids=lambda f: f.__name__
)
def test_what_is_no_loss_is_named(plug_in, problem):
    with raised(LossInputError, loss="plug_in"):
        losses.get("plug_in")(torch.linspace(0, 1, 5).requires_grad_(), torch.linspace(0, 1, 5))
    with raised(LossInputError, loss="plug_in"):
        surrogates.get("ensemble", loss="plug_in", **OPTIONS).fit(*problem)


def fails(pred, target):
    raise ZeroDivisionError


@pytest.mark.parametrize("plug_in", [fails], indirect=True)
def test_its_own_errors_are_its_own(plug_in, problem):
    with pytest.raises(ZeroDivisionError):
        surrogates.get("ensemble", loss="plug_in", **OPTIONS).fit(*problem)
