"""What the newer proxies say of networks for which it is known, and what they must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import proxies
from po_nas.errors import UnsupportedModuleError
from proxies.circle import movements
from proxies.functions.near import effective_rank
from proxies.state import State
from tests.proxies.networks import CLASSES, FAMILIES, batch, make

ON_ACTIVATIONS = ["near", "l_swag", "wrcor", "swap", "nwot", "ncd_swap", "ncd_nwot", "intrain", "vkdnw", "dextr"]


def close(first, second):
    assert set(first) == set(second)
    for name in first:
        assert first[name] == pytest.approx(second[name], rel=1e-9, nan_ok=True), name


class Written(nn.Module):
    """One network, its activation function and its normalisation called in one of several ways."""

    def __init__(self, activate, spoil=False):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 5, 3, padding=1)
        self.head = nn.Linear(5, CLASSES)
        self.activate, self.spoil = activate, spoil

    def forward(self, x):
        given = self.norm(self.first(x))
        x = self.activate(given)
        if self.spoil:
            # In place, undone: what was seen must be what it was when it was seen.
            given.mul_(3.0)
            x = x if x is not given else x / 3.0
            x.mul_(2.0)
            x = x / 2.0
        x = self.activate(self.second(x))
        return self.head(x.mean((2, 3)))


WAYS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "function": functional.relu,
    "function in place": lambda x: functional.relu(x, inplace=True),
    "torch": torch.relu,
    "torch in place": torch.relu_,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
}


def test_how_an_activation_function_is_called_does_not_matter():
    expected = proxies.score(make(lambda: Written(functional.relu)), batch(), ON_ACTIVATIONS)
    for activate in WAYS.values():
        close(proxies.score(make(lambda a=activate: Written(a)), batch(), ON_ACTIVATIONS), expected)


def test_what_happens_to_an_activation_later_on_does_not_matter():
    # Torch itself cannot differentiate such a network.
    names = ["near", "swap", "nwot"]
    expected = proxies.score(make(lambda: Written(functional.relu)), batch(), names)
    for activate in WAYS.values():
        close(proxies.score(make(lambda a=activate: Written(a, spoil=True)), batch(), names), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_scored_together_they_are_what_they_are_alone(family):
    names = ["near", "wrcor", "l_swag", "intrain", "vkdnw", "ncd_swap", "dextr", "meco_opt", "reg_swap"]
    others = ["grasp", "fisher", "nwot", "jacov", "az_trainability"]
    together = proxies.score(make(FAMILIES[family]), batch(), [*others, *names], on_error="nan")
    for name in names:
        alone = proxies.score(make(FAMILIES[family]), batch(), name, on_error="nan")[name]
        assert alone == pytest.approx(together[name], rel=1e-12, nan_ok=True), name
    without = proxies.score(make(FAMILIES[family]), batch(), others, on_error="nan")
    close(without, {name: together[name] for name in others})


@pytest.mark.parametrize(
    "activate", [nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Hardswish(), nn.ELU(inplace=True), nn.Softplus()]
)
def test_other_activation_functions_have_scores(activate):
    found = proxies.score(make(lambda: Written(activate)), batch(), ["near", "l_swag", "wrcor", "intrain", "vkdnw"])
    assert all(math.isfinite(value) for value in found.values())


def test_no_activation_function_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(CLASSES)).double()
    network(batch()[0])
    errors = proxies.evaluate(network, batch(), ["near", "l_swag", "wrcor", "ncd_swap"]).errors
    assert {name: type(error) for name, error in errors.items()} == dict.fromkeys(
        ["near", "l_swag", "wrcor", "ncd_swap"], UnsupportedModuleError
    )


def test_effective_rank_of_known_spectra():
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [7.0, 0.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(effective_rank(values.double()), [4, 1, 2, 0])


def test_near_does_not_depend_on_the_scale_of_features():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES)).double()
    network(batch()[0])
    before = proxies.score(network, batch(), "near")["near"]
    network[0].weight.data *= 1000
    assert proxies.score(network, batch(), "near")["near"] == pytest.approx(before)


def test_fisher_of_a_linear_model_in_closed_form():
    """Of one layer there is one eigenvalue, whose deciles are all the same: the entropy of nine equal shares."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)).double()
    found = proxies.score(network, batch(), ["vkdnw", "vkdnw_entropy"])
    assert found["vkdnw_entropy"] == pytest.approx(math.log(9))
    assert found["vkdnw"] == pytest.approx(1 + math.log(9))


def test_drawn_classes_stand_for_all_of_them():
    """With more classes than are differentiated the Fisher information is estimated, not truncated."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh()).double()
    many = nn.Sequential(trunk, nn.Linear(12, 40).double())
    x = batch(n=16)[0]
    estimates = [proxies.score(many, x, "vkdnw_entropy", seed=seed)["vkdnw_entropy"] for seed in range(8)]
    exact = exact_entropy(many, x)
    assert np.std(estimates) > 0
    assert np.mean(estimates) == pytest.approx(exact, abs=4 * np.std(estimates) / math.sqrt(8) + 0.05)


def exact_entropy(network, x):
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Linear)]
    total = np.zeros((len(weights), len(weights)))
    for k in range(len(x)):
        logs = network(x[k : k + 1]).log_softmax(1)[0]
        for c in range(len(logs)):
            found = torch.autograd.grad(logs[c], weights, retain_graph=True)
            row = np.array([float(g.flatten()[g.numel() // 2]) for g in found])
            total += float(logs[c].detach().exp()) * np.outer(row, row) / len(x)
    deciles = np.quantile(np.linalg.eigvalsh(total), np.arange(1, 10) / 10)
    share = deciles / deciles.sum()
    return -(share * np.log(share)).sum()


def test_intrain_takes_no_rounding_error_for_a_healthy_gradient():
    """A bias in front of batch normalisation has a gradient of zero, but for rounding."""
    torch.manual_seed(0)
    plain, biased = (nn.Conv2d(3, 4, 3, bias=bias) for bias in (False, True))
    biased.weight.data, biased.bias.data = plain.weight.data.clone(), torch.zeros(4)
    tail = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, CLASSES))
    for dtype in (torch.float32, torch.float64):
        scores = [
            proxies.score(nn.Sequential(first, *tail).to(dtype), batch(dtype), "intrain")["intrain"]
            for first in (plain, biased)
        ]
        assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_wrcor_of_a_network_too_deep_for_powers_of_two():
    layers = [part for _ in range(1100) for part in (nn.Linear(24, 24, bias=False), nn.LeakyReLU(0.999))]
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 24), *layers, nn.Linear(24, CLASSES)).double()
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight)
    value = proxies.score(network, batch(), "wrcor")["wrcor"]
    # 1,100 calls of weight up to 2 ** 1099 on six samples: the last of them alone would overflow.
    assert value == pytest.approx(6 * 1099 * math.log(2), rel=0.01)


NORMS = {
    "batch": lambda: nn.BatchNorm2d(4),
    "group": lambda: nn.GroupNorm(2, 4),
    "layer": lambda: nn.LayerNorm([4, 6, 6]),
    "none": nn.Identity,
}


def smooth(norm):
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 3)).double().train()


@pytest.mark.parametrize("norm", NORMS)
def test_derivatives_along_the_circle_are_those_of_finite_differences(norm):
    network = make(lambda: smooth(NORMS[norm]()))
    first = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
    found = movements(State(network), first, torch.Generator().manual_seed(0))
    drawn = torch.randn(192, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, w = (torch.linalg.qr(drawn).Q.mT * math.sqrt(192)).reshape(2, 1, 3, 8, 8)
    step = 1e-3
    for k, (velocity, change) in enumerate(found):
        angles = [2 * math.pi * k / len(found) + step * shift for shift in (-1, 0, 1)]
        with torch.no_grad():
            before, here, after = (network(u * math.cos(a) + w * math.sin(a))[0] for a in angles)
        torch.testing.assert_close(velocity, (after - before) / (2 * step), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(change, (after - 2 * here + before) / step**2, rtol=1e-3, atol=1e-4)


class _HalfDifferentiable(torch.autograd.Function):
    """A square whose forward derivative is right and, differentiated again, lacks a part."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(inputs[0])
        context.save_for_forward(inputs[0])

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return 2 * x * gradient

    @staticmethod
    def jvp(context, tangent):
        (x,) = context.saved_tensors
        return 2 * x.detach() * tangent


class _Squares(nn.Module):
    def forward(self, x):
        return _HalfDifferentiable.apply(x)


def test_wrong_second_derivatives_are_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), _Squares(), nn.Flatten(), nn.Linear(4 * 36, 3)).double()
    (error,) = proxies.evaluate(network, batch(), "dextr").errors.values()
    assert isinstance(error, UnsupportedModuleError)


class _Branches(nn.Module):
    """Normalised branches whose sum is averaged over the positions: constant in exact arithmetic, for one sample."""

    def __init__(self, depth: int, skip: bool) -> None:
        super().__init__()
        self.stem, self.skip = nn.Conv2d(3, 8, 3, padding=1), skip
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(
                    nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
                    for _ in range(depth)
                )
            )
            for _ in range(2)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        stem = self.stem(x)
        total = sum(branch(stem) for branch in self.branches) + (stem if self.skip else 0)
        return self.head(total.mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [1, 4])
def test_an_output_that_only_rounding_moves_has_no_curvature(depth, dtype):
    for seed in range(4):
        data = batch(dtype, n=4)
        still = make(lambda: _Branches(depth, False), dtype, seed).train()
        (error,) = proxies.evaluate(still, data, "dextr").errors.values()
        assert isinstance(error, UnsupportedModuleError)
        assert error.lacks == "dependent outputs"
        for velocity, change in movements(State(still), data[0], torch.Generator().manual_seed(seed)):
            assert not velocity.any()
            assert not change.any()
        moving = make(lambda: _Branches(depth, True), dtype, seed).train()
        assert proxies.score(moving, data, "dextr")["dextr"] > 0


def test_masks_are_the_same_for_the_same_seed_alone():
    network = make(FAMILIES["residual"])
    data = batch(n=16)
    same = [proxies.score(network, data, "ncd_nwot", seed=1)["ncd_nwot"] for _ in range(2)]
    assert same[0] == same[1] != proxies.score(network, data, "ncd_nwot", seed=2)["ncd_nwot"]


def test_reg_swap_wants_the_size_that_it_is_given():
    from proxies.functions.patterns import reg_swap

    small, wanted, large = ({"swap": 100.0, "params": size * 1e6} for size in (0.5, 2.0, 3.5))
    scores = [reg_swap(s, mu=2.0, sigma=0.1) for s in (small, wanted, large)]
    assert scores[1] == pytest.approx(math.log(100))
    assert scores[0] == pytest.approx(scores[2]) == pytest.approx(math.log(100) - 1.5**2 / 0.1)
    # No underflow far away.
    assert reg_swap({"swap": 100.0, "params": 1e9}, mu=2.0, sigma=0.1) < -1e6
