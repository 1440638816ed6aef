"""The loss of PO-NAS: what it does not depend on, and the paper's scales."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import losses
from po_nas.errors import ConfigError
from tests.errors import raised

Y = torch.tensor([0.5, 0.9, 0.7, 0.62, 0.81], dtype=torch.float64)
S = torch.tensor([0.3, 0.1, 0.9, 0.4, 0.2], dtype=torch.float64)


def test_a_rising_affine_function_of_the_targets_is_perfect():
    assert float(losses.get("po_nas")(0.01 * Y + 7, Y)) == pytest.approx(0, abs=1e-6)
    assert float(losses.get("po_nas", labels="fraction")(0.01 * Y + 7, Y)) == pytest.approx(0, abs=1e-6)
    assert float(losses.get("po_nas")(-Y, Y)) > 2


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-10, 10), st.floats(1e-3, 1e3))
def test_neither_scale_matters(factor, shift, unit):
    loss = losses.get("po_nas", threshold=0.0)
    expected = loss(S, Y)
    torch.testing.assert_close(loss(factor * S + shift, Y), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(loss(S, unit * Y + shift), expected, rtol=1e-6, atol=1e-9)


def test_the_papers_scales():
    """Raw percent: the directions alone are 100 times the mean product of gaps that point apart."""
    parts = losses.get("po_nas", labels="fraction"), losses.get("po_nas", labels="fraction", direction=0.0)
    wrong = [max(0.0, float(-(S[i] - S[j]) * 100 * (Y[i] - Y[j]))) for i in range(5) for j in range(i)]
    assert float(parts[0](S, Y) - parts[1](S, Y)) == pytest.approx(100 * sum(wrong) / len(wrong))
    assert losses.get("po_nas", labels="fraction").spec.labels == "fraction"
    assert losses.spec("po_nas").labels == "standardized"


def test_gaps_below_the_threshold_have_no_direction():
    """A close pair in the wrong order: below the threshold its gaps are compared, above it both count as zero."""
    y, s = torch.tensor([0.0, 0.05, 2.0, -2.0]), torch.tensor([1.0, 0.0, 2.0, -2.0])
    below, above = (float(losses.get("po_nas", direction=0.0, threshold=t)(s, y)) for t in (0.1, 0.01))
    assert below > above + 0.01


def test_the_gradient_stays_finite_where_nothing_differs():
    for pred in (torch.full((6,), 0.3), torch.tensor([0.3] * 5 + [0.4])):
        pred = pred.requires_grad_()
        (gradient,) = torch.autograd.grad(losses.get("po_nas")(pred, torch.arange(6.0)), pred)
        assert torch.isfinite(gradient).all()


def test_unknown_labels():
    with raised(ConfigError, key="po_nas.labels", value="percent"):
        losses.get("po_nas", labels="percent")
