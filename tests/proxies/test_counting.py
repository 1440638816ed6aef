from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from po_nas.errors import UnknownNameError
from proxies.counting import CONVENTIONS, count_operations, count_parameters
from tests.errors import raised


class Odd(nn.Module):
    """Every counted kind of layer, a shared one, a functional product, and what counts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, (3, 1), stride=2, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.plain = nn.BatchNorm2d(6, affine=False)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 1)
        self.up = nn.ConvTranspose2d(6, 2, 2, 2, bias=False)
        self.adaptive = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(8, 3)
        self.frozen = nn.Parameter(torch.zeros(7), requires_grad=False)

    def forward(self, x):
        x = self.relu(self.plain(self.relu(self.norm(self.conv(x)))))
        x = self.adaptive(self.up(self.pool(x))).flatten(1)
        return functional.linear(self.linear(x), torch.ones(5, 3))


# 8 x 8 images: the convolution gives 4 rows x 5 columns, pooling 3 x 4, the transposed one 6 x 8.
CONVOLUTION = 4 * 5 * 6 * (3 * 2)
LINEAR = 8 * 3
BIAS, NORMS, ACTIVATIONS, POOL = 120, 120 * 3, 120 * 2, 12 * 6 * 4
ADAPTIVE = 2 * (4 + 4) * (5 + 5)
TRANSPOSED, FUNCTIONAL = 12 * 6 * 2 * 4, 15


def test_macs_by_hand():
    count = count_operations(Odd(), torch.zeros(1, 4, 8, 8))
    assert count.total == CONVOLUTION + LINEAR + TRANSPOSED + FUNCTIONAL
    assert count.by_module["conv"] == CONVOLUTION
    assert count.by_module["up"] == TRANSPOSED
    assert count.by_module[""] == FUNCTIONAL


def test_suite_zero_by_hand():
    count = count_operations(Odd(), torch.zeros(1, 4, 8, 8), convention="suite_zero")
    assert count.by_module == {
        "conv": CONVOLUTION + BIAS,
        "norm": 240,
        "plain": 120,
        "relu": ACTIVATIONS,
        "pool": POOL,
        "adaptive": ADAPTIVE,
        "linear": LINEAR,
    }
    assert count.total == CONVOLUTION + BIAS + NORMS + ACTIVATIONS + POOL + ADAPTIVE + LINEAR


def test_attention_counts_its_products():
    """Three projections in, one out, and two products of tokens with tokens; in evaluation mode torch fuses them."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    fused = torch.backends.mha.get_fastpath_enabled()
    count = count_operations(layer, torch.zeros(1, 5, 8))
    assert count.total == 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16
    assert count.by_module["linear1"] == 5 * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled() == fused


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_batch_multiplies_and_meta_agrees(convention):
    one = count_operations(Odd(), torch.zeros(1, 4, 8, 8), convention=convention).total
    three = count_operations(Odd(), torch.zeros(3, 4, 8, 8), convention=convention).total
    per_batch = FUNCTIONAL if convention == "macs" else 0
    assert three - 3 * per_batch == 3 * (one - per_batch)
    shapes = count_operations(_Linear().to("meta"), torch.zeros(1, 4, device="meta"), convention=convention).total
    assert shapes == 8


class _Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(x)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_module_is_left_as_it_was(convention):
    module = Odd()
    module.norm.eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    count_operations(module, torch.ones(2, 4, 8, 8), convention=convention)
    assert module.training
    assert not module.norm.training
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())


def test_hooks_go_when_the_module_fails():
    module = Odd()
    with raised(RuntimeError, "[1, 3, 8, 8]"):
        count_operations(module, torch.ones(1, 3, 8, 8), convention="suite_zero")
    assert not any(part._forward_hooks for part in module.modules())
    assert module.training


def test_parameters():
    module = Odd()
    module.tied = module.linear
    trainable = 6 * 2 * 3 + 6 + 12 + 6 * 2 * 4 + 24 + 3
    assert count_parameters(module) == trainable
    assert count_parameters(module, trainable=False) == trainable + 7


def test_unknown_convention():
    with raised(UnknownNameError, name="mac", suggestion="macs"):
        count_operations(Odd(), torch.zeros(1, 4, 8, 8), convention="mac")
