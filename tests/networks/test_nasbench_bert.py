"""NAS-Bench-BERT's networks: the parameters that were recorded, and what each operation computes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from po_nas import networks, spaces
from po_nas.errors import ConfigError
from po_nas.networks.nasbench_bert import _SpanConvolution, _Transform
from proxies.counting import count_parameters
from tests.errors import raised

SPACE = spaces.get("nasbench_bert")
# Parameters of a layer with one hidden feed-forward layer by operation: with two heads, with four.
LAYERS = {
    "SDP": (789_760, 789_760),
    "WMA": (855_296, 855_296),
    "DFT": (591_872, 591_872),
    "DCT": (591_872, 591_872),
    "DSC5": (758_789, 758_789 + 645),
    "DSC9": (760_329, 760_329 + 1_161),
}
EMBEDDINGS, MORE_HIDDEN, CLASSIFIER = 4_005_888, 2_099_200, 2 * 256 + 2


def config(operations, heads, hidden, width=256):
    layers = len(operations)
    lists = {"operation": operations, "heads": heads, "feed_forward": [1024] * layers, "feed_forwards": hidden}
    return SPACE.architecture_of({"width": width, "layers": layers, **lists})


@pytest.mark.parametrize("operation", LAYERS)
def test_parameters_of_the_recorded_networks(operation):
    first, second = (config([operation, "SDP"], [heads, 2], [1, 3]) for heads in (2, 4))
    rest = EMBEDDINGS + LAYERS["SDP"][0] + MORE_HIDDEN + CLASSIFIER
    for architecture, layer in zip((first, second), LAYERS[operation], strict=True):
        assert count_parameters(networks.build(architecture, device="meta")) == rest + layer


def test_the_width_behind_the_first_hidden_layer():
    """It changes nothing where there is no second one."""
    for hidden, same in ((1, True), (3, False)):
        told = SPACE.config_of(config(["SDP", "SDP"], [2, 2], [hidden, hidden]))
        sizes = {
            count_parameters(networks.build(SPACE.architecture_of(told | {"feed_forward": [w, w]}), device="meta"))
            for w in (512, 1024)
        }
        assert (len(sizes) == 1) == same


def test_transforms_are_those_of_the_libraries():
    x = torch.randn(3, 7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    heads = x.unflatten(-1, (2, 4)).transpose(1, 2)
    for cosine, expected in (
        (False, torch.fft.fft2(heads).real),
        (True, torch.from_numpy(scipy.fft.dctn(heads.numpy(), axes=(-2, -1), norm="ortho"))),
    ):
        torch.testing.assert_close(_Transform(2, cosine)(x), expected.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("kernel", [5, 9])
def test_a_span_convolution_is_local_beside_attention(kernel):
    torch.manual_seed(0)
    part = _SpanConvolution(16, 4, kernel)
    x = torch.randn(1, 24, 16)
    x.requires_grad_()
    found = part(x)
    assert found.shape == (1, 24, 16)
    (gradient,) = torch.autograd.grad(found[0, 12, 8:].sum(), x)
    reached = gradient[0].abs().sum(1) > 0
    assert reached.nonzero().flatten().tolist() == list(range(12 - kernel // 2, 12 + kernel // 2 + 1))


def test_a_constant_value_comes_through_the_convolution():
    """Kernels sum to one, so that values that are the same everywhere stay, away from the borders."""
    torch.manual_seed(0)
    part = _SpanConvolution(16, 2, 5)
    torch.nn.init.zeros_(part.values.weight)
    found = part(torch.randn(1, 12, 16))[0, 2:-2, 8:]
    torch.testing.assert_close(found, part.values.bias.expand_as(found))


@pytest.mark.parametrize("operation", LAYERS)
def test_every_operation_mixes_tokens(operation):
    architecture = config([operation] * 2, [2, 4], [1, 1], width=128)
    network = networks.build(architecture, vocabulary=9, first_feed_forward=8).eval()
    words = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        one, other = network(words), network(torch.tensor([[1, 2, 4, 4, 5]]))
    assert one.isfinite().all()
    assert not torch.equal(one, other)


def test_examples_and_bad_values():
    architecture = SPACE.sample(np.random.default_rng(0))
    options, batch = SPACE.example_inputs(4, num_classes=3, tokens=6, vocabulary=20)
    assert networks.build(architecture, **options)(*batch.inputs).shape == (4, 3)
    with raised(ConfigError, key="words"):
        networks.build(architecture, context=4, vocabulary=9)(torch.zeros(1, 5, dtype=torch.long))
    with raised(ConfigError, key="first_feed_forward", value=0):
        networks.build(architecture, device="meta", first_feed_forward=0)
