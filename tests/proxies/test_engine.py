"""What the engine promises whatever the proxies: shared passes, nothing left behind, typed errors."""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn

import proxies
from po_nas.errors import (
    ConfigError,
    MissingPassError,
    PluginError,
    PoNasError,
    ProxyBatchError,
    ProxyError,
    ProxyFailedError,
    ProxyMemoryError,
    ProxyValueError,
    UnknownNameError,
    UnsupportedModuleError,
)
from proxies.blocks import block
from proxies.proxy_spec import PASSES, closure
from proxies.recording import Watch, record
from proxies.state import State
from tests.errors import check, raised
from tests.proxies.networks import CLASSES, FAMILIES, Depthwise, Functional, Perceptron, Residual, batch, make
from tests.proxies.transformers import Transformer, patches

SINGLE = torch.float32


@pytest.fixture
def plugin():
    """Register a function as a proxy for one test."""
    names = []

    def register(function, name="plugin", **options):
        proxies.proxy(name, **options)(function)
        names.append(name)
        return name

    yield register
    for name in names:
        proxies.registry.remove(name)


def everything(module):
    """All state of a module that somebody could notice."""
    return (
        {name: (value.clone(), value.requires_grad, value.grad) for name, value in module.named_parameters()},
        {name: value.clone() for name, value in module.named_buffers()},
        [(part.training, sorted(part.__dict__), len(part._forward_hooks), len(part._forward_pre_hooks))
         for part in module.modules()],
        random.getstate(), repr(np.random.get_state()), torch.get_rng_state().clone(),  # noqa: NPY002
        torch.get_num_threads(),
        torch.is_grad_enabled(), torch.backends.cudnn.benchmark,
    )  # fmt: skip


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize("family", [*FAMILIES.values(), Functional])
def test_sharing_passes_changes_no_score(family):
    network, data = make(family, SINGLE), batch(SINGLE)
    together = proxies.evaluate(network, data, "*")
    for name in proxies.names():
        alone = proxies.evaluate(network, data, name)
        assert alone.values == {n: v for n, v in together.values.items() if n == name}
    assert len(together.values) >= 20


@pytest.mark.parametrize("family", [*FAMILIES.values(), Functional])
def test_nothing_is_left_behind(family, plugin):
    def spoil(context):
        network = context.module
        context.module.eval()
        network.register_forward_hook(lambda *_: None)
        for value in network.parameters():
            value.requires_grad_(False)
            value.grad = torch.ones_like(value)
            value.data.zero_()
        for value in network.buffers():
            value.zero_()
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        raise RuntimeError("plug-in fails in the middle")

    plugin(spoil)
    network, data = make(family, SINGLE), batch(SINGLE)
    list(network.children())[-1].eval()
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.full_like(parameters[1], 3.0)
    before = everything(network)
    with torch.no_grad():
        scores = proxies.evaluate(network, data, "*")
    assert "plugin" in scores.errors
    assert same(before, everything(network))
    assert parameters[1].grad.unique().tolist() == [3.0]


def test_frozen_parameters_and_modes_do_not_change_scores():
    network, data = make(Residual, SINGLE), batch(SINGLE)
    free = proxies.score(network, data, ["grad_norm", "grasp", "jacov", "fisher"])
    network.eval().requires_grad_(False)
    with torch.inference_mode():
        assert proxies.score(network, data, ["grad_norm", "grasp", "jacov", "fisher"]) == free


def test_seed_decides_every_draw():
    network, data = make(Functional, SINGLE), batch(SINGLE)
    random_ones = ["grad_norm", "meco", "zen"]
    first = proxies.score(network, data, random_ones, seed=3)
    torch.rand(7)
    assert proxies.score(network, data, random_ones, seed=3) == first
    other = proxies.score(network, data, random_ones, seed=4)
    assert all(other[name] != first[name] for name in random_ones)


@pytest.mark.parametrize("family", FAMILIES.values())
def test_module_in_double_gets_double_passes(family):
    assert State(make(family)).dtype == torch.float64
    assert State(make(family).half()).dtype == torch.float32


def test_half_precision_module_is_scored_in_single():
    network = make(Residual, SINGLE).half()
    rounded = copy.deepcopy(network).float()
    assert proxies.score(network, batch(SINGLE), "grad_norm") == proxies.score(rounded, batch(SINGLE), "grad_norm")


def test_own_loss():
    network, (x, _) = make(Perceptron, SINGLE), batch(SINGLE)
    targets = torch.randn(len(x), CLASSES)
    found = proxies.score(network, (x, targets), ["grad_norm", "gradsign"], loss=nn.functional.mse_loss)
    copied = copy.deepcopy(network)
    nn.functional.mse_loss(copied(x), targets).backward()
    assert found["grad_norm"] == pytest.approx(sum(float(m.weight.grad.norm()) for m in copied if hasattr(m, "weight")))
    with raised(ProxyBatchError, proxy="snip", part="loss"):
        proxies.score(network, (x, targets), "snip", loss=lambda a, b: (a - b) ** 2)


def test_names_and_wildcards():
    assert proxies.expand(["az_*", "synflow", "az_complexity"]) == [*proxies.names("az_*"), "synflow"]
    data = batch(SINGLE)
    assert list(proxies.score(make(Residual, SINGLE), data, ("snip", "params"))) == ["snip", "params"]
    with raised(UnknownNameError, name="grapes", suggestion="grasp"):
        proxies.score(make(Residual, SINGLE), data, "grapes")
    with pytest.raises(UnknownNameError):
        proxies.expand("nothing_*")


def test_specs_are_complete():
    for name in proxies.names():
        spec, entry = proxies.spec(name), proxies.registry.entry(name)
        assert spec.name == name
        assert spec.reference
        assert entry.summary
        assert spec.failure
        assert callable(proxies.registry.get(name))
        assert proxies.registry.get(name).__doc__
        assert spec.needs_labels == bool(
            closure(spec.passes) & {"gradients", "half_gradients", "attention_gradients", "nonlinear_gradients"}
        ) or name in (
            "epe_nas", "gradsign") or spec.needs  # fmt: skip
    assert closure(["hessian"]) == {"hessian", "gradients", "forward"}
    seen = []
    for name, needs in PASSES.items():
        assert set(needs) <= set(seen), "passes run in the order of the table"
        seen.append(name)


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "part", "named"),
    [
        ((torch.full((4, 3, 8, 8), torch.nan), torch.arange(4)), "inputs", "NaN"),
        ((torch.zeros(0, 3, 8, 8), torch.arange(0)), "inputs", "(0, 3, 8, 8)"),
        ((torch.zeros(4, 3, 8, 8), [0, 1, 2, 3]), "labels", "list"),
        (torch.zeros(4, 3, 8, 8).numpy(), "batch", "(inputs, labels)"),
        (("images", None), "inputs", ""),
    ],
)
def test_no_batch(data, part, named):
    with raised(ProxyBatchError, named, proxy="*", part=part):
        proxies.score(make(Residual, SINGLE), data, "params", on_error="nan")


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (None, ["(inputs, labels)"]),
        (torch.arange(6), [CLASSES]),
        (torch.arange(6) - 1, [-1, CLASSES]),
        (torch.zeros(6), ["torch.float32"]),
        (torch.zeros(5, dtype=torch.long), ["(5,)", "(6,)"]),
    ],
)
@pytest.mark.parametrize("name", ["grad_norm", "zico", "gradsign", "epe_nas"])
def test_bad_labels(labels, named, name):
    network, (x, _) = make(Residual, SINGLE), batch(SINGLE)
    if name == "epe_nas" and labels is not None:
        named = []
        if len(labels) == 6 and not labels.is_floating_point():
            return
    if name != "grad_norm" and labels is not None and len(labels) == 5:
        named = []  # sample by sample, other shapes are seen
    with raised(ProxyBatchError, *named, proxy=name, part="labels"):
        proxies.score(network, (x, labels), name)
    assert np.isnan(proxies.score(network, (x, labels), name, on_error="nan")[name])


def test_batch_of_one():
    scores = proxies.evaluate(make(Residual, SINGLE), batch(SINGLE, n=1), "*")
    for name, least in {"jacov": 2, "zico": 4}.items():
        assert isinstance(scores.errors[name], ProxyBatchError)
        check(scores.errors[name], least, proxy=name, part="samples")
    assert {"params", "synflow", "grad_norm"} <= scores.values.keys()


class Failing(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.layer, self.error = nn.Linear(2, 2), error

    def forward(self, x):
        raise self.error


def test_network_that_fails_or_runs_out_of_memory():
    data = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.long))
    scores = proxies.evaluate(Failing(KeyError("shape")), data, ["grasp", "params"])
    assert isinstance(scores.errors["grasp"], ProxyFailedError)
    assert isinstance(scores.errors["grasp"].__cause__, KeyError)
    assert scores.errors["grasp"].proxy == "grasp"
    assert "raise self.error" in scores.errors["grasp"].__notes__[0]
    assert list(scores.values) == ["params"]
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ):
        with raised(ProxyMemoryError, proxy="nwot"):
            proxies.score(Failing(error), data, "nwot")


@pytest.mark.parametrize(
    ("network", "name", "lacks"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.GELU(), nn.Linear(4, 4)), "nwot", "ReLU"),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), "l2_norm", "parameters"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192)), "l2_norm", "layers"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192)), "grad_norm", "layers"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "meco", "convolutions"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "az_expressivity", "blocks"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "params", "initialised parameters"),
        (nn.Flatten(0), "params", "parameters"),
        (nn.Sequential(nn.Linear(8, 4), nn.Flatten(0)), "jacov", "tensor output"),
    ],
)
def test_unsupported_modules(network, name, lacks):
    with raised(UnsupportedModuleError, proxy=name, lacks=lacks):
        proxies.score(network, batch(SINGLE), name)


class Dead(nn.Module):
    """The output does not depend on the input."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head((self.stem(x).relu() * 0).mean((2, 3)))


def test_dead_network_has_no_silent_zero():
    errors = proxies.evaluate(Dead(), batch(SINGLE), ["jacov", "epe_nas", "ntk"]).errors
    assert {type(e) for e in errors.values()} == {UnsupportedModuleError}
    assert list(errors) == ["jacov", "epe_nas", "ntk"]
    constant = proxies.evaluate(
        nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(), nn.Flatten()), (torch.zeros(4, 3, 8, 8), None), "nwot"
    )
    check(constant.errors["nwot"], proxy="nwot", lacks="distinct codes")


def test_integer_inputs():
    network = nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(20, CLASSES))
    data = (torch.arange(24).reshape(6, 4) % 9, torch.arange(6) % CLASSES)
    scores = proxies.evaluate(network, data, ["jacov", "synflow", "zen", "grad_norm", "ntk"])
    assert {name: type(e) for name, e in scores.errors.items()} == dict.fromkeys(
        ["jacov", "synflow", "zen"], UnsupportedModuleError
    )
    assert scores.values.keys() == {"grad_norm", "ntk"}


def test_module_of_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(4, 40), nn.Linear(40, CLASSES)

        def forward(self, x, edges):
            return self.head((edges @ self.layer(x)).relu())

    data = ((torch.randn(6, 4), torch.eye(6)), torch.arange(6) % CLASSES)
    scores = proxies.evaluate(Two(), data, "*")
    assert {"jacov", "synflow", "grasp", "nwot", "zen", "flops"} <= scores.values.keys()
    assert scores.errors.keys() >= {"ntk", "gradsign", "zico", "meco", *proxies.names("az_*")} - {"az_complexity"}
    assert {type(error) for error in scores.errors.values()} <= {UnsupportedModuleError, ProxyBatchError}


def test_second_derivative_that_does_not_exist_spoils_nothing_else():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 2

    class Network(nn.Sequential):
        def forward(self, x):
            return super().forward(Once.apply(self[0](x)))

    network = Network(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, CLASSES))
    scores = proxies.evaluate(network, (torch.randn(6, 3), torch.arange(6) % 4), ["grasp", "grad_norm", "fisher"])
    assert isinstance(scores.errors["grasp"], UnsupportedModuleError)
    check(scores.errors["grasp"], proxy="grasp", lacks="second derivatives")
    assert scores.values.keys() == {"grad_norm", "fisher"}


# -- plug-ins ---------------------------------------------------------------------------------------------------------


def test_plugin_gets_what_it_asks_for(plugin):
    def my_metric(context):
        """Spread."""
        assert context.labels is not None
        return float(context.outputs.std()) / len(context.layers)

    plugin(my_metric, direction=1)
    spec = proxies.spec("plugin")
    assert (spec.cost, spec.needs_labels, spec.version) == ("forward", False, 1)
    assert proxies.registry.entry("plugin").summary == "Spread."
    network, (x, y) = make(Perceptron, SINGLE), batch(SINGLE)
    expected = float(copy.deepcopy(network)(x).detach().std()) / 3
    assert proxies.score(network, (x, y), ["plugin", "snip"])["plugin"] == pytest.approx(expected)


def test_plugin_in_double_precision(plugin):
    plugin(
        lambda context: float(context.weight_gradients[0].dtype == torch.float64),
        passes=("gradients",),
        dtype="float64",
    )
    plugin(lambda context: float(context.weight_gradients[0].dtype == torch.float64), "other", passes=("gradients",))
    found = proxies.score(make(Perceptron, SINGLE), batch(SINGLE), ["plugin", "other"])
    assert found == {"plugin": 1.0, "other": 0.0}
    assert proxies.spec("plugin").needs_labels
    assert proxies.spec("plugin").cost == "backward"


ATTRIBUTES = {
    "outputs": "forward", "relu_codes": "relu", "activations": "activations", "block_features": "blocks",
    "input_jacobian": "jacobian", "block_gradients": "block_jacobians", "weight_gradients": "gradients",
    "activation_gradients": "activation_gradients", "hessian_gradient": "hessian", "half_gradients": "half_gradients",
    "sample_gradients": "sample_gradients", "gaussian": "gaussian", "single_features": "single",
    "synaptic_flow": "synflow", "normalised_flow": "synflow_bn", "macs": "macs", "attention": "attention",
    "hidden_states": "feed_forward", "attention_gradients": "attention_gradients",
    "nonlinear_calls": "nonlinear", "nonlinear_gradients": "nonlinear_gradients", "noise": "noise",
    "masked_codes": "masked", "circle": "circle",
}  # fmt: skip


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_context_gives_what_the_spec_names_and_nothing_else(attribute, plugin):
    assert set(ATTRIBUTES.values()) == set(PASSES)
    needed = ATTRIBUTES[attribute]
    plugin(lambda context: float(getattr(context, attribute) is not None), passes=(needed,))
    of_attention = "attention" in closure((needed,))
    network, data = (Transformer(), patches(SINGLE)) if of_attention else (make(Residual, SINGLE), batch(SINGLE))
    assert proxies.score(network, data, "plugin") == {"plugin": 1.0}
    plugin(lambda context: float(getattr(context, attribute) is not None), "without", passes=())
    with raised(MissingPassError, f"'{needed}'", proxy="without", attribute=attribute) as caught:
        proxies.score(make(Residual, SINGLE), batch(SINGLE), "without")
    assert caught.value.needed == needed


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (torch.tensor([1.0, 2.0]), "(2,)"),
        (torch.tensor(1.0), "()"),
        (None, "NoneType"),
        (True, "bool"),
        ("3", "str"),
        (float("nan"), "nan"),
        (-float("inf"), "-inf"),
    ],
)
def test_plugin_that_returns_no_number(value, named, plugin):
    plugin(lambda context: value, passes=())
    with raised(ProxyValueError, named, proxy="plugin"):
        proxies.score(make(Residual, SINGLE), batch(SINGLE), "plugin")
    scores = proxies.score(make(Residual, SINGLE), batch(SINGLE), ["params", "plugin"], on_error="nan")
    assert np.isnan(scores["plugin"])
    assert scores["params"] > 0


@pytest.mark.parametrize("value", [3, np.float32(3), np.int64(3)])
def test_plugin_may_return_any_real_number(value, plugin):
    plugin(lambda context: value, passes=())
    assert proxies.score(make(Residual, SINGLE), batch(SINGLE), "plugin") == {"plugin": 3.0}


def test_plugin_generator_and_call(plugin):
    def draw(context):
        noise = torch.randn(context.inputs.shape, generator=context.generator)
        return float(context.call(noise).detach().sum())

    plugin(draw, passes=())
    network, data = make(Residual, SINGLE), batch(SINGLE)
    before = everything(network)
    first = proxies.score(network, data, "plugin", seed=1)
    assert proxies.score(network, data, ["snip", "plugin"], seed=1)["plugin"] == first["plugin"]
    assert proxies.score(network, data, "plugin", seed=2) != first
    assert same(before, everything(network))


def test_the_decorator_without_a_name_is_refused():
    def mine(context):
        return 1.0

    with raised(ConfigError, key="name", value=mine):
        proxies.proxy(mine)


def test_wrong_specs():
    for options in ({"passes": "forward"}, {"direction": 2}, {"version": 0}, {"dtype": "half"}):
        with pytest.raises(ConfigError):
            proxies.proxy("wrong", **options)
    with raised(UnknownNameError, "'wrong'", name="gradient", suggestion="gradients"):
        proxies.proxy("wrong", passes=("gradient",))
    assert "wrong" not in proxies.names()


def test_entry_point_that_is_no_proxy():
    from po_nas.registry import Entry

    proxies.registry.add(Entry("broken", "", "no_such_module:f"))
    proxies.registry.add(Entry("bare", "", print))
    try:
        with pytest.raises(PluginError):
            proxies.spec("broken")
        with raised(ConfigError, "'bare'", "@proxies.proxy", key="spec"):
            proxies.spec("bare")
        proxies.registry.remove("bare")
        proxies.registry.add(Entry("late", "", "tests.proxies.test_engine:late"))
        assert proxies.spec("late") is late.proxy_spec
    finally:
        for name in ("broken", "late"):
            proxies.registry.remove(name)


def late(context):
    """An entry point's function; its spec hangs on it."""
    return 1.0


late.proxy_spec = proxies.ProxySpec("late", ())


@pytest.mark.parametrize(
    "error",
    [
        ProxyBatchError("a", "b"), UnsupportedModuleError("a", "b"), MissingPassError("a", "macs", "macs"),
        ProxyFailedError("a", "b"), ProxyValueError("a", "b"), ProxyMemoryError("*", "b"),
    ],
)  # fmt: skip
def test_errors_travel_between_processes(error):
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert (str(copied), copied.proxy, copied.reason) == (str(error), error.proxy, error.reason)
    assert isinstance(error, ProxyError)
    assert isinstance(error, PoNasError)


# -- pieces -----------------------------------------------------------------------------------------------------------


class Rude(nn.Module):
    """Changes a layer's output in place, and with `both` one of two outputs of the same ReLU."""

    def __init__(self, polite, both=False):
        super().__init__()
        self.a, self.b, self.polite, self.both = nn.Linear(3, 40), nn.Linear(40, CLASSES), polite, both

    def forward(self, x):
        h = self.a(x)
        h = h + 1 if self.polite else h.add_(1)
        first, second = torch.relu(h), torch.relu(h)
        if self.both:
            first = first - 2 if self.polite else first.sub_(2)
        return self.b(torch.relu(first * second))


@pytest.mark.parametrize(("both", "names"), [(False, ["fisher", "grad_norm", "jacov", "grasp"]), (True, ["nwot"])])
def test_in_place_changes_are_noticed(both, names):
    """The pass is run again with copies (autograd itself refuses changes to a ReLU's output)."""
    rude, polite = Rude(False, both), Rude(True, both)
    polite.load_state_dict(rude.state_dict())
    data = (9 * torch.randn(6, 3), torch.arange(6) % CLASSES)
    assert proxies.score(rude, data, names) == pytest.approx(proxies.score(polite, data, names))


def test_relus_of_one_tensor_are_computed_once_but_count_each():
    network, data = make(Functional, SINGLE), batch(SINGLE)
    calls = []
    real = torch.relu

    class Count(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            calls.append(function is real)
            return function(*args, **(kwargs or {}))

    with Count():
        captured = record(State(network), data[:1], Watch(codes=lambda _, output: output))
    assert len(captured.codes) == 3
    assert sum(calls) == 2


def shapes_of_blocks(network, x):
    """Shapes of the features of the blocks."""
    found = []

    def remember(context):
        found.extend(tuple(f.shape[1:]) for f in context.block_features)
        return 0.0

    proxies.proxy("shapes_of_blocks", passes=("blocks",), direction=+1)(remember)
    try:
        proxies.score(network, (x, None), "shapes_of_blocks")
    finally:
        proxies.registry.remove("shapes_of_blocks")
    return found


def test_primary_blocks():
    x = batch(SINGLE)[0]
    assert shapes_of_blocks(make(Residual, SINGLE), x) == [(4, 8, 8), (4, 8, 8), (8, 4, 4)]
    units = [(6, 8, 8), (6, 8, 8), (6, 8, 8), (12, 8, 8), (12, 4, 4), (6, 4, 4), (12, 4, 4), (12, 4, 4), (8, 4, 4)]
    assert shapes_of_blocks(make(Depthwise, SINGLE), x) == units
    assert shapes_of_blocks(make(Perceptron, SINGLE), x) == [(10,), (9,)]


def test_marked_blocks_are_the_blocks():
    depthwise = make(Depthwise, SINGLE)
    for unit in depthwise.units:
        assert block(unit) is unit
    copied = copy.deepcopy(depthwise)
    assert shapes_of_blocks(copied, batch(SINGLE)[0]) == [(6, 8, 8), (6, 4, 4), (8, 4, 4)]


class Twisted(nn.Module):
    """Things that must not count: a reading that leads nowhere, a mask that is handed past, a change in place."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.idle, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        mask = x > 0
        first = self.a(x)
        second = self.b(first)
        second.relu_()
        third = self.c(second * mask)
        third += second
        self.left = self.idle(first).sum()
        third[:, 0] = 0
        return self.head(third.relu())


def test_what_leads_nowhere_makes_no_block_larger():
    data = (torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6) % CLASSES)
    assert shapes_of_blocks(Twisted(), data[0]) == [(8,)] * 3
    found = proxies.score(Twisted(), data, ["az_expressivity", "az_trainability"])
    assert all(map(np.isfinite, found.values()))


def test_blocks_of_odd_sizes_and_tokens():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, 2, 1)
            self.next = nn.Conv2d(4, 5, 3, 2, 1)
            self.mix, self.mix2 = nn.Linear(5, 7), nn.Linear(7, 7)
            self.head = nn.Linear(7, CLASSES)

        def forward(self, x):
            x = self.next(self.conv(x).relu()).flatten(2).mT
            return self.head(self.mix2(self.mix(x).relu()).mean(1))

    x = torch.randn(6, 3, 9, 9)
    scores = proxies.score(Tokens(), (x, torch.arange(6) % CLASSES), ["az_*"], on_error="nan")
    assert all(np.isfinite(v) for name, v in scores.items() if name != "az_trainability"), scores
