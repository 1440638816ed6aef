"""Every classification loss passes the kit that plug-in authors run."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from losses import classification
from losses.classification import Hyperparameter
from po_nas.testing.losses import ClassificationLossConformance

VARIANTS = [
    *((name, {}) for name in classification.names()),
    ("cross_entropy", {"label_smoothing": 0.2}),
    ("focal", {"gamma": 0.5, "scale": None}),
    ("baikal", {"scale": None, "limit": None}),
    ("ngl", {"scale": None, "label_smoothing": 0.1}),
    ("formula", {"formula": "sinh(y - p) * exp(y - p) + i0e(p - y)", "scale": 2.0}),
]


@pytest.mark.parametrize(("name", "hyperparameters"), VARIANTS, ids=str)
class TestLosses(ClassificationLossConformance):
    @pytest.fixture(autouse=True)
    def _choose(self, name, hyperparameters):
        self.loss, self.hyperparameters = name, hyperparameters


def _wrong_class(logits, y):
    """Rewards every class but the right one."""
    return (y * logits.log_softmax(1)).sum(1)


def _infinite(logits, y):
    return -(y * logits.softmax(1).log()).sum(1)


def _first_class(logits, y):
    return -(y * logits.log_softmax(1)).sum(1) * (1 + y[:, 0])


def _unnormalised(logits, y):
    return (logits - 3 * y).square().sum(1)


def _random(logits, y):
    return -(y * (logits + torch.rand(len(y), 1)).log_softmax(1)).sum(1)


@pytest.mark.parametrize(
    ("function", "test"),
    [
        (_wrong_class, "test_right_is_better"),
        (_infinite, "test_finite_everywhere"),
        (_first_class, "test_classes_are_alike"),
        (_unnormalised, "test_offset"),
        (_random, "test_nothing_is_random"),
    ],
)
def test_the_kit_finds_what_is_wrong(function, test):
    kit = type("Kit", (ClassificationLossConformance,), {"loss": "broken"})()
    classification.register("broken", summary="for a test")(function)
    try:
        with pytest.raises(AssertionError):
            getattr(kit, test)()
    finally:
        classification.registry.remove("broken")


def _power(logits, y, *, exponent):
    return (1 - (y * logits.softmax(1)).sum(1)).clamp_min(1e-7) ** exponent


class TestPlugin(ClassificationLossConformance):
    """A plain function with a hyper-parameter of its own."""

    loss = "power"
    hyperparameters: ClassVar = {"exponent": 1.5}

    @pytest.fixture(autouse=True)
    def _registered(self):
        exponent = Hyperparameter("exponent", 2.0, "of what is missing", low=1.0)
        classification.register("power", summary="a power of what is missing", hyperparameters=(exponent,))(_power)
        yield
        classification.registry.remove("power")
