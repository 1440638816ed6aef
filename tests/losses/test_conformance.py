"""Every loss, in every mode, passes the kit that plug-in authors run."""

from __future__ import annotations

import pytest
import torch

import losses
from po_nas.testing.losses import LossConformance

VARIANTS = [
    *((name, {}) for name in losses.names()),
    ("mse_sr", {"mode": "perm"}),
    ("lr", {"temperature": 0.3}),
    ("ew", {"mode": "expm1", "temperature": 0.1}),
    ("ew", {"mode": "best", "temperature": 0.05}),
    ("ew", {"mode": "best", "labels": "standardized"}),
    ("mape", {"lower_bound": 0.045}),
    ("mape", {"exponent": 0.5, "rho": 0.5}),
    ("warp", {"mode": "sampled"}),
    *(("warp", {"weight": weight}) for weight in ("gt", "exp_gt", "ranking", "exp_z")),
    ("warp_homotopy", {"alpha": 0.0}),
    ("warp_homotopy", {"alpha": 2.5, "margin": 1.0}),
    ("weighted_lr", {"gamma": 3.0, "scale": "zscore"}),
    ("top_vs_rest", {"fraction": 0.3, "temperature": 2.0}),
    ("lambda_ndcg", {"fraction": 0.3}),
    ("lambda_precision", {"fraction": 0.3}),
    ("soft_topk", {"mode": "precision", "fraction": 0.3}),
    ("po_nas", {"labels": "fraction"}),
    ("piecewise", {"warm": "mse", "focus": "mape", "threshold": 10}),
    ("piecewise", {"focus": "top_vs_rest", "by": "ess", "threshold": 2}),
    ("scheduled", {"base": "top_vs_rest"}),
    ("scheduled", {"base": {"name": "warp_homotopy", "margin": 0.5}}),
]


@pytest.mark.parametrize(("name", "hyperparameters"), VARIANTS, ids=str)
class TestLosses(LossConformance):
    @pytest.fixture(autouse=True)
    def _choose(self, name, hyperparameters):
        self.loss, self.hyperparameters = name, hyperparameters


def _sum_of_squares(pred, target):
    """Not invariant to an offset, and not zero where there is nothing to order."""
    return pred.square().sum()


def _worse_is_better(pred, target):
    return (pred * target).mean()


def _blind(pred, target):
    """Blind to broken predictions, and to every order."""
    return pred.nan_to_num().sum() * 0


def _by_index(pred, target):
    return (pred - target).square() @ torch.arange(len(pred), dtype=pred.dtype)


def _draws(pred, target):
    return (pred - target).square().mean() * torch.rand(())


def _branches(pred, target):
    return (pred - target).square().mean() if target.sum() > 0 else (pred - target).abs().mean()


@pytest.mark.parametrize(
    ("function", "head", "test"),
    [
        (_sum_of_squares, "free", "test_offset_of_a_free_head"),
        (_sum_of_squares, "free", "test_nothing_to_order"),
        (_worse_is_better, "calibrated", "test_the_right_order_is_best"),
        (_blind, "calibrated", "test_broken_predictions_show"),
        (_by_index, "calibrated", "test_order_of_the_input_does_not_matter"),
        (_draws, "calibrated", "test_randomness_is_its_own"),
        (_branches, "calibrated", "test_vmap"),
    ],
)
def test_the_kit_finds_a_bad_loss(function, head, test):
    losses.register("bad", summary="bad", head=head)(function)

    class Kit(LossConformance):
        loss = "bad"

    try:
        with pytest.raises((AssertionError, RuntimeError)):
            getattr(Kit(), test)()
    finally:
        losses.registry.remove("bad")
