from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from po_nas.errors import ConfigError, UnsupportedModuleError
from proxies.profiling import measure_latency, peak_memory
from tests.errors import raised

INPUTS = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


class Watched(nn.Module):
    """Notes in which state it is called; changes what it can of its own."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.seen = []

    def forward(self, x):
        self.calls += 1
        LOG.append((self.training, torch.is_grad_enabled(), torch.get_num_threads(), x.dtype, len(x)))
        self.seen.append(torch.rand(2))
        return self.linear(x)


LOG: list = []


def test_a_measurement_leaves_no_trace():
    LOG.clear()
    module, threads, drawn = Watched(), torch.get_num_threads(), torch.get_rng_state()
    weight = module.linear.weight.detach().clone()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = measure_latency(module, INPUTS, threads=2, seconds=0.01)
    assert found.passes >= 5
    assert len(LOG) > found.passes, "passes that warm up are not counted"
    assert set(LOG) == {(False, False, 2, torch.float32, 4)}
    assert (found.samples, found.device, found.threads) == (4, "cpu", 2)
    assert found.median_ms > 0 <= found.iqr_ms
    assert module.training
    assert module.calls == 0
    assert module.seen == []
    assert torch.equal(module.linear.weight, weight)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.get_num_threads() == threads


def test_passes_that_take_long_are_timed_often_enough():
    class Slow(Watched):
        def forward(self, x):
            torch.linalg.svd(torch.ones(60, 60))
            return super().forward(x)

    assert measure_latency(Slow(), INPUTS, seconds=1e-6).passes >= 5


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_impossible_settings(wrong):
    with raised(ConfigError, key=next(iter(wrong))):
        measure_latency(Watched(), INPUTS, **wrong)


def test_modules_that_cannot_run():
    module = nn.Linear(9, 1)
    with raised(UnsupportedModuleError) as caught:
        measure_latency(module, INPUTS)
    assert "8" in caught.value.reason
    assert module.training
    with raised(UnsupportedModuleError):
        peak_memory(nn.LazyLinear(2), INPUTS)
    with raised(UnsupportedModuleError, lacks="numbers"):
        measure_latency(nn.Linear(8, 1, device="meta"), INPUTS)


class Chain(nn.Module):
    """Layers one after the other, of which all outputs are kept when `keeps`."""

    def __init__(self, widths, keeps=False):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths))
        self.keeps = keeps

    def forward(self, x):
        kept = []
        for layer in self.layers:
            x = layer(x)
            if self.keeps:
                kept.append(x)
        return x


def bytes_of(widths, n, keeps):
    """The peak by hand: weights and inputs always, of the outputs the last two, or all so far."""
    fixed = sum(a * b for a, b in itertools.pairwise(widths)) + n * widths[0]
    outputs = [n * w for w in widths[1:]]
    alive = [sum(outputs[: k + 1]) if keeps else sum(outputs[max(0, k - 1) : k + 1]) for k in range(len(outputs))]
    return 4 * (fixed + max(alive))


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("widths", [(8, 3), (8, 30, 2), (8, 5, 40, 7, 6), (8, 2, 2, 2)])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_peak_memory_is_that_of_the_tensors_that_are_alive(widths, keeps, device):
    module = Chain(widths, keeps).to(device)
    for n in (1, 4):
        assert peak_memory(module, INPUTS[:n]) * 1e6 == pytest.approx(bytes_of(widths, n, keeps))


def test_views_and_operations_in_place_take_no_memory():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):
            y = x * self.scale
            return y.relu_().reshape(-1, 2)[:, :1].mT

    assert peak_memory(Views(), INPUTS) * 1e6 == 4 * (1 + 2 * 32)


def test_a_weight_that_two_layers_share_is_there_once():
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    apart = peak_memory(nn.Sequential(first, second), INPUTS)
    second.weight = first.weight
    assert (apart - peak_memory(nn.Sequential(first, second), INPUTS)) * 1e6 == pytest.approx(4 * 64)
