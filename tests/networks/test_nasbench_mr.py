"""NAS-Bench-MR's networks: the sizes that were recorded, and the shapes of both heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from po_nas import networks, spaces
from po_nas.errors import ConfigError, UnknownNameError
from po_nas.spaces.nasbench_mr import flops, parameters
from proxies.counting import count_parameters
from tests.errors import raised

SPACE = spaces.get("nasbench_mr")


def recorded_way(network: nn.Module, images: torch.Tensor) -> int:
    """Operations as the benchmark counts them, from the layers as they run."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Conv2d | nn.Linear):
            total += output.numel() * layer.weight[0].numel() + (output.numel() if layer.bias is not None else 0)
        else:
            total += 2 * output.numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            layer.register_forward_hook(count)
    network(images)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_network_has_the_sizes_of_the_formula(seed):
    """The formula is compared with the recorded numbers in the tests of the space and of the benchmark."""
    architecture = SPACE.sample(np.random.default_rng(seed))
    network = networks.build(architecture, device="meta").eval()
    assert count_parameters(network) == parameters(architecture.code)
    assert recorded_way(network, torch.empty(1, 3, 128, 128, device="meta")) == flops(architecture.code)


def test_heads():
    architecture = SPACE.sample(np.random.default_rng(0))
    images = torch.empty(2, 3, 96, 64, device="meta")
    for task, shape in (("classification", (2, 50)), ("segmentation", (2, 50, 24, 16))):
        assert networks.build(architecture, device="meta", task=task)(images).shape == shape


@pytest.mark.parametrize("size", [33, 47, 50])
def test_images_of_odd_sizes(size):
    architecture = SPACE.sample(np.random.default_rng(1))
    network = networks.build(architecture, channel_divisor=8, task="segmentation").eval()
    with torch.no_grad():
        found = network(torch.randn(1, 3, size, size + 3, generator=torch.Generator().manual_seed(0)))
    assert found.shape[-2:] == (-(-size // 4), -(-(size + 3) // 4))
    assert found.isfinite().all()


def test_options_are_checked():
    architecture = SPACE.sample(np.random.default_rng(0))
    with raised(ConfigError, key="channel_divisor", value=3):
        networks.build(architecture, device="meta", channel_divisor=3)
    with raised(UnknownNameError, name="segmentations", suggestion="segmentation"):
        networks.build(architecture, device="meta", task="segmentations")
