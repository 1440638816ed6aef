"""HW-GPT-Bench's networks: parameters as counted by the benchmark, causality, positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from po_nas import networks, spaces
from po_nas.errors import ConfigError
from proxies.counting import count_operations, count_parameters
from tests.errors import raised

SPACE = spaces.get("hwgpt_s")


def counted(config, *, gated=True, vocabulary=50_254):
    """The parameters of a configuration, matrix by matrix."""
    d, bias, found = config["embedding"], config["bias"], 0
    for heads, ratio in zip(config["heads"], config["mlp_ratio"], strict=True):
        matrices = [(d, 3 * 64 * heads), (64 * heads, d)]
        matrices += [(d, ratio * d)] * (2 if gated else 1) + [(ratio * d, d)]
        found += sum(a * b + b * bias for a, b in matrices) + 4 * d
    return found + 2 * vocabulary * d + 2 * d


@pytest.mark.parametrize("scale", ["s", "m", "l"])
@pytest.mark.parametrize("gated", [True, False])
def test_parameters(scale, gated):
    space = spaces.get(f"hwgpt_{scale}")
    rng = np.random.default_rng(0)
    for architecture in (space.sample(rng), space.sample(rng)):
        network = networks.build(architecture, device="meta", gated=gated)
        assert count_parameters(network) == counted(space.config_of(architecture), gated=gated)


@pytest.mark.parametrize(
    ("scale", "million"), [("s", 190.5946), ("m", 505.9932), ("l", 1073.1546)], ids=["s", "m", "l"]
)
def test_parameters_of_the_largest(scale, million):
    """The numbers of the benchmark's formula."""
    space = spaces.get(f"hwgpt_{scale}")
    config = {name: choice.value(choice.count - 1) for name, choice in space.choices.items()}
    layers = config["layers"]
    config |= {"mlp_ratio": [config["mlp_ratio"]] * layers, "heads": [config["heads"]] * layers, "bias": True}
    network = networks.build(space.architecture_of(config), device="meta")
    assert count_parameters(network) / 1e6 == pytest.approx(million, abs=6e-5)


def small(seed=0):
    architecture = SPACE.sample(np.random.default_rng(seed))
    return networks.build(architecture, vocabulary=11, context=8).eval()


def test_a_word_sees_those_before_it_alone():
    network = small()
    words = torch.randint(11, (2, 8), generator=torch.Generator().manual_seed(0))
    changed = words.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 11
    with torch.no_grad():
        before, after = network(words), network(changed)
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.allclose(before[:, :, 5:], after[:, :, 5:])


def test_the_order_of_words_counts():
    network = small()
    words = torch.tensor([[1, 2, 3, 4], [2, 1, 3, 4]])
    with torch.no_grad():
        last = network(words)[:, :, -1]
    assert not torch.allclose(last[0], last[1])


def test_rotation_depends_on_differences_of_positions():
    """Attention of two words is the same wherever they stand."""
    from po_nas.networks.hwgpt import _rotated

    network = small()
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(64, generator=generator).expand(8, 64), torch.randn(64, generator=generator).expand(8, 64)
    q, k = (_rotated(x, network.cosines, network.sines) for x in (q, k))
    scores = q @ k.T
    for distance in range(1, 8):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)


def test_it_learns_the_batch_that_it_brings():
    architecture = SPACE.sample(np.random.default_rng(3))
    options, batch = SPACE.example_inputs(2, tokens=6, vocabulary=13)
    network = networks.build(architecture, **options)
    logits = network(*batch.inputs)
    assert logits.shape == (2, 13, 6)
    loss = functional.cross_entropy(logits, batch.labels)
    assert loss.item() == pytest.approx(np.log(13), abs=0.2)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_operations_grow_with_the_words():
    architecture = SPACE.sample(np.random.default_rng(0))
    network = networks.build(architecture, device="meta").eval()
    one, two = (count_operations(network, torch.zeros(1, n, dtype=torch.long, device="meta")).total for n in (32, 64))
    assert two > 2 * one > 0


def test_too_many_words():
    with raised(ConfigError, key="words"):
        small()(torch.zeros(1, 9, dtype=torch.long))
