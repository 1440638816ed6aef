"""A score depends on module, batch and seed alone, and the module is left as it was."""

from __future__ import annotations

import contextlib
import functools
import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import proxies
from po_nas.errors import ProxyBatchError, ProxyFailedError, UnsupportedModuleError
from tests.errors import raised
from tests.proxies.networks import CLASSES, FAMILIES, Residual, batch, make

SINGLE = torch.float32
NAMES = [name for name in proxies.names() if "evolved" not in proxies.registry.entry(name).tags]


@contextlib.contextmanager
def default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def coarse():
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


CALLERS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default dtype": default_dtype,
    "default device": lambda: torch.device("meta"),
    "deterministic algorithms": deterministic,
    "coarse products": coarse,
}


class Makes(nn.Module):
    """Makes tensors of its own in every pass."""

    def __init__(self):
        super().__init__()
        self.inner = make(Residual, SINGLE)

    def forward(self, x):
        return self.inner(x * torch.ones(x.shape[1:]) + torch.zeros(1).to(x)) + torch.arange(CLASSES) / 7


def settings():
    return (
        torch.is_autocast_enabled("cpu"), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.get_default_dtype(), torch.get_default_device(), torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(), torch.get_float32_matmul_precision(),
    )  # fmt: skip


@functools.cache
def scored():
    """A network and its scores."""
    network = Makes()
    return network, proxies.evaluate(network, batch(SINGLE), NAMES).values


@pytest.mark.parametrize("caller", CALLERS)
def test_scores_do_not_depend_on_the_settings_of_the_caller(caller):
    network, expected = scored()
    data = batch(SINGLE)
    assert len(expected) > 20
    with CALLERS[caller]():
        before = settings()
        found = proxies.evaluate(network, data, NAMES).values
        assert settings() == before
    assert found == expected


def test_batches_made_in_inference_mode():
    network, data = make(Residual, SINGLE), batch(SINGLE)
    expected = proxies.score(network, data, ["snip", "nwot", "zen"])
    with torch.inference_mode():
        copied = make(Residual, SINGLE)
        assert proxies.score(copied, tuple(t.clone() for t in data), ["snip", "nwot", "zen"]) == expected


class Untidy(nn.Module):
    """Keeps things while it runs: counts, lists, tensors, a module, weights that it clamps."""

    def __init__(self, error=None):
        super().__init__()
        self.layer, self.head = prune.identity(nn.Linear(192, 9), "weight"), nn.Linear(9, CLASSES)
        self.norm = nn.BatchNorm1d(9)
        self.calls, self.seen, self.cache = 0, [], {"inner": {"kept": torch.zeros(2)}}
        self.register_buffer("steps", torch.zeros(()))
        self.plain = torch.zeros(3)
        self.error = error

    def forward(self, x):
        self.calls += 1
        self.seen.append(x.mean())
        self.cache["new"] = x
        self.cache["inner"]["kept"] += 1
        self.plain.add_(1)
        self.steps += 1
        self.extra = nn.Identity()
        with torch.no_grad():
            self.head.weight.clamp_(-0.05, 0.05)
        if self.error is not None and self.calls % 2 == 0:
            raise self.error
        return self.head(self.norm(self.layer(x.flatten(1))).relu())


def everything(module):
    """What hangs on a module, by identity and by value."""

    def look(value):
        if isinstance(value, torch.Tensor):
            return id(value), value.detach().clone()
        if isinstance(value, dict):
            return {key: look(item) for key, item in value.items()}
        if isinstance(value, list | set | tuple):
            return [look(item) for item in value]
        return value if isinstance(value, int | float | str | bool) else id(value)

    return [look(part.__dict__) for part in module.modules()]


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize("error", [None, ValueError("in the middle")])
def test_a_module_is_left_as_it_was(error):
    network = Untidy(error)
    before = everything(network)
    scores = proxies.evaluate(network, batch(SINGLE), NAMES)
    assert same(everything(network), before)
    if error is not None:
        assert {type(e) for e in scores.errors.values()} >= {ProxyFailedError}


def old_spectral_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.spectral_norm(nn.Linear(8, 6))


@pytest.mark.parametrize(
    "layer",
    [
        old_spectral_norm,
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(8, 6)),
        lambda: nn.utils.parametrizations.orthogonal(nn.Linear(8, 6)),
        lambda: prune.l1_unstructured(nn.Linear(8, 6), "weight", 0.5),
    ],
)
def test_rewritten_layers_are_left_as_they_were(layer):
    network = nn.Sequential(nn.LayerNorm(8), layer(), nn.ReLU(), nn.Linear(6, CLASSES))
    before = everything(network)
    scores = proxies.evaluate(network, (torch.randn(6, 8), torch.arange(6) % CLASSES), NAMES)
    assert same(everything(network), before)
    assert "snip" in scores.values


# -- frozen parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=pytest.mark.slow) if f in ("cells", "depthwise") else f for f in FAMILIES]
)
def test_frozen_parameters_count_like_others(family):
    """A score is of the network, not of what somebody means to train of it."""
    network, data = make(FAMILIES[family], SINGLE), batch(SINGLE)
    expected = proxies.score(network, data, NAMES, on_error="nan")
    for k, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(family != "perceptron" and k % 2 == 0)
    assert proxies.score(network, data, NAMES, on_error="nan") == pytest.approx(expected, nan_ok=True, rel=0)


# -- scores that there are not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["snip", "grad_norm", "grasp", "fisher", "zico", "gradsign"])
def test_one_output_has_no_classes(name):
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))
    data = (torch.randn(6, 5), torch.zeros(6, dtype=torch.long))
    with raised(ProxyBatchError, proxy=name, part="labels"):
        proxies.score(network, data, name)
    targets = (data[0], torch.randn(6, 1))
    assert proxies.score(network, targets, name, loss=nn.functional.mse_loss)[name] != 0


@pytest.mark.parametrize("depth", [20, 100])
def test_zen_of_deep_networks_without_normalisation(depth):
    """What a layer adds to the logarithm is the same at any depth."""
    layers = [nn.Conv2d(3, 16, 3, padding=1)]
    for _ in range(depth - 1):
        layers += [nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))
    score = proxies.score(network, batch(SINGLE)[0], "zen")["zen"]
    # The variance grows by half of the fan-in, a little less at the borders.
    assert score / depth == pytest.approx(math.log(16 * 9 / 2) / 2, rel=0.15)


def test_meco_of_tokens_says_that_it_needs_real_inputs():
    network = nn.Sequential(nn.Embedding(9, 5), nn.Conv1d(4, 3, 1), nn.Flatten(), nn.Linear(15, CLASSES))
    data = (torch.arange(24).reshape(6, 4) % 9, torch.arange(6) % CLASSES)
    with raised(UnsupportedModuleError, proxy="meco", lacks="real inputs"):
        proxies.score(network, data, "meco")


def test_a_precision_set_in_torchs_newer_way_changes_nothing():
    """After it torch refuses to say the precision in the older way."""
    expected = proxies.score(make(Residual, SINGLE), batch(SINGLE), ["grad_norm", "nwot"])
    matmul = torch.backends.mkldnn.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        assert proxies.score(make(Residual, SINGLE), batch(SINGLE), ["grad_norm", "nwot"]) == expected
        assert matmul.fp32_precision == "bf16"
    finally:
        matmul.fp32_precision = before
    assert torch.get_float32_matmul_precision() == "highest"


# -- kernels ----------------------------------------------------------------------------------------------------------


class Layout(torch.overrides.TorchFunctionMode):
    """Remembers how the images of strided 1 x 1 convolutions with few channels are stored."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        if function is torch.conv2d and arguments[1].shape[1:] == (4, 1, 1):
            # Strides decide: where height and width are 1, a tensor is contiguous either way.
            self.seen.append(all(t.stride() == torch.empty(t.shape, device="meta").stride() for t in arguments[:2]))
        return function(*arguments, **(keywords or {}))


def test_convolutions_that_corrupt_memory_are_not_run_channels_last():
    network = make(Residual, SINGLE)
    network = network.to(memory_format=torch.channels_last)
    data = batch(SINGLE)
    images = data[0].to(memory_format=torch.channels_last)
    # Counting differentiates nothing, and dextr forwards alone: no backward pass.
    differentiated = [n for n in NAMES if not {"macs", "circle"} & set(proxies.spec(n).passes) and n != "az_complexity"]
    with Layout() as layout:
        found = proxies.evaluate(network, (images, data[1]), differentiated)
    assert len(layout.seen) > 5
    assert all(layout.seen)
    expected = proxies.evaluate(make(Residual, SINGLE), data, differentiated)
    assert found.errors.keys() == expected.errors.keys()
    for name, value in found.values.items():
        assert value == pytest.approx(expected.values[name], rel=2e-2), name
