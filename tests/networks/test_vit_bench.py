"""ViT-Bench-101's networks: parameters as published, shapes, what heads change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from po_nas import networks, spaces
from po_nas.errors import ConfigError
from po_nas.spaces.vit_bench import parameters
from proxies.counting import count_parameters
from tests.errors import raised

AUTOFORMER, PIT = spaces.get("vit_autoformer"), spaces.get("vit_pit")


@pytest.mark.parametrize("space", [AUTOFORMER, PIT], ids=lambda space: space.name)
def test_parameters_are_those_of_the_formula(space):
    rng = np.random.default_rng(0)
    for num_classes in (4, 100):
        architecture = space.sample(rng)
        network = networks.build(architecture, device="meta", num_classes=num_classes)
        assert count_parameters(network) == parameters(space.name, space.config_of(architecture), num_classes)


def test_parameters_that_were_published():
    heads = [4, 4, 3, 4, 3, 3, 4, 4, 3, 3, 3, 4]
    ratios = [3.5, 4.0, 3.5, 4.0, 3.5, 3.5, 4.0, 3.5, 4.0, 4.0, 4.0, 3.5]
    config = {"width": 192, "layers": 12, "heads": heads, "mlp_ratio": ratios}
    network = networks.build(AUTOFORMER.architecture_of(config), device="meta")
    assert count_parameters(network) == 5_321_956
    config = {"head_size": 16, "mlp_ratio": 6, "heads": "2-4-4", "layers": "2-8-4"}
    assert count_parameters(networks.build(PIT.architecture_of(config), device="meta")) == 893_828


def test_heads_split_the_width():
    """Another number of heads is another function of the same number of parameters."""
    rng = np.random.default_rng(0)
    config = AUTOFORMER.config_of(AUTOFORMER.sample(rng)) | {"width": 216}
    made = [
        networks.build(AUTOFORMER.architecture_of(config | {"heads": [h] * config["layers"]}), image_size=16).eval()
        for h in (3, 4)
    ]
    assert count_parameters(made[0]) == count_parameters(made[1])
    made[1].load_state_dict(made[0].state_dict())
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.allclose(*(network(images) for network in made), atol=1e-7)


@pytest.mark.parametrize("size", [16, 32, 40])
def test_resolutions_of_pooling(size):
    rng = np.random.default_rng(1)
    architecture = PIT.architecture_of(PIT.config_of(PIT.sample(rng)) | {"head_size": 16})
    network = networks.build(architecture, image_size=size, num_classes=3).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 3)


def test_images_smaller_than_a_patch():
    for space in (AUTOFORMER, PIT):
        with raised(ConfigError, key="image_size", value=8):
            networks.build(space.sample(np.random.default_rng(0)), device="meta", image_size=8, patch=16)
