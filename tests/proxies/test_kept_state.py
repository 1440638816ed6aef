"""What a module keeps beside its parameters: it counts as what it is, and every pass finds it as it was."""

from __future__ import annotations

import random
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import proxies
from po_nas.errors import ConfigError, ProxyBatchError, ProxyValueError, UnsupportedModuleError
from tests.errors import raised
from tests.proxies.test_equivalent_modules import NAMES, same

N = 8


def batch(seed=0):
    inputs = torch.randn(N, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return inputs, torch.arange(N) % 4


class Net(nn.Module):
    """Three layers; `middle` computes the second one from its inputs, weight and bias."""

    def __init__(self, middle=functional.linear, **kept):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.h = (nn.Linear(*sizes).double() for sizes in ((6, 8), (8, 8), (8, 4)))
        self.middle = middle
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.h(self.middle(self.a(x).relu(), self.b.weight, self.b.bias).relu())


# -- constants ---------------------------------------------------------------------------------------------------------


def masked(where):
    mask = (torch.arange(64).view(8, 8) % 3 > 0).double()
    net = Net()
    if where == "buffer":
        net.register_buffer("mask", mask)
    else:
        net.mask = {"attribute": mask, "list": [mask], "nested": {"of": (mask,)}, "numpy": mask.numpy()}[where]
    found = {
        "list": lambda: net.mask[0],
        "nested": lambda: net.mask["of"][0],
        "numpy": lambda: torch.from_numpy(net.mask),
    }.get(where, lambda: net.mask)
    net.middle = lambda x, w, b: functional.linear(x, w * found(), b)
    return net


@pytest.mark.parametrize("where", ["attribute", "list", "nested", "numpy"])
def test_a_mask_is_a_mask_wherever_it_is_kept(where):
    values = same(masked("buffer"), masked(where), batch(), names="*", least=20)
    assert values["layer_count"] == 3


def test_a_batch_of_numpys_is_data():
    inputs, labels = batch()
    given = torch.from_numpy(inputs.numpy().copy())
    net = Net(lambda x, w, b: x @ w.T + b)
    assert proxies.score(net, (given, labels), NAMES, on_error="nan") == pytest.approx(
        proxies.score(net, (inputs, labels), NAMES, on_error="nan"), nan_ok=True
    )


def test_rows_chosen_by_an_index_are_no_embedding():
    first, second = Net(), Net(index=torch.arange(8).flip(0))
    first.register_buffer("index", torch.arange(8).flip(0))
    for net in (first, second):
        net.middle = lambda x, w, b, net=net: functional.linear(x, w[net.index], b)
    same(first, second, batch(), names="*", least=20)


def test_a_zero_from_outside_makes_a_relu():
    zero = torch.zeros(())
    same(
        Net(lambda x, w, b: functional.relu(functional.linear(x, w, b))),
        Net(lambda x, w, b: torch.maximum(functional.linear(x, w, b), zero)),
        batch(),
        names=["nwot", "swap", "linear_regions", "near"],
    )


# -- what is made of parameters before the call ------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["view", "values", "computed"])
def test_what_was_made_of_a_parameter_before_is_refused(made):
    net = Net()
    net.kept = {"view": lambda w: w.t(), "values": lambda w: w.detach(), "computed": lambda w: w * 2}[made](
        net.b.weight
    )
    net.middle = lambda x, w, b: x @ net.kept + b
    with raised(UnsupportedModuleError, proxy="synflow"):
        proxies.score(net, batch(), "synflow")


def test_a_parameter_that_is_a_buffer_too_is_a_parameter():
    net = Net()
    net.register_buffer("again", net.b.weight)
    same(Net(), net, batch(), names="*", least=20)


# -- state that the call changes ---------------------------------------------------------------------------------------


class Average(Net):
    """Keeps a moving average of its inputs in an attribute."""

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return super().forward(x - self.mean)


class InPlace(Net):
    """Keeps it in place."""

    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.mean(0).detach())
        return super().forward(x - self.mean)


class Shrinking(Net):
    """Changes a parameter in each call."""

    def forward(self, x):
        with torch.no_grad():
            self.a.weight.mul_(0.9)
        return super().forward(x)


class Assigning(Net):
    """Replaces the data of a parameter in each call."""

    def forward(self, x):
        self.a.weight.data = torch.renorm(self.a.weight.data, 2, 0, 0.5)
        return super().forward(x)


class Freezing(Net):
    """Freezes a layer in each call."""

    def forward(self, x):
        self.a.requires_grad_(False)
        self.b.weight.requires_grad = False
        return super().forward(x)


def drawing(kind):
    """A network that draws from a generator of its own."""
    own = {"torch": torch.Generator(), "numpy": np.random.default_rng(3), "python": random.Random(3)}[kind]
    if kind == "torch":
        own.manual_seed(3)
    net = Net(own=[own])
    draws = {
        "torch": lambda g: float(torch.rand((), generator=g)),
        "numpy": lambda g: g.random(),
        "python": lambda g: g.random(),
    }
    net.middle = lambda x, w, b: functional.linear(x * (1 + draws[kind](net.own[0])), w, b)
    return net


CHANGED = {
    "average": lambda: Average(mean=torch.zeros(6, dtype=torch.float64)),
    "average in place": lambda: InPlace(mean=torch.zeros(6, dtype=torch.float64)),
    "parameter": Shrinking,
    "data of a parameter": Assigning,
    "frozen": Freezing,
    "torch.Generator": lambda: drawing("torch"),
    "numpy's generator": lambda: drawing("numpy"),
    "python's generator": lambda: drawing("python"),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_scores_do_not_depend_on_what_else_is_asked_for(kind):
    every = proxies.evaluate(CHANGED[kind](), batch(), "*")
    net = CHANGED[kind]()
    for name in ("snip", "zen", "nwot", "zico", "synflow", "l2_norm", "ntk", "jacov", "grasp", "dextr", "near"):
        alone = proxies.evaluate(net, batch(), name)
        assert alone.values.get(name) == every.values.get(name), name
        assert type(alone.errors.get(name)) is type(every.errors.get(name)), name


def test_layers_frozen_in_the_call_count_like_others():
    same(Net(), Freezing(), batch(), names="*", least=20)


def test_the_data_of_a_tensor_cannot_be_assigned_where_torch_would_crash():
    with raised(UnsupportedModuleError, proxy="dextr"):
        proxies.score(Assigning(), batch(), "dextr")


def test_everything_that_is_kept_is_put_back():
    generators = [torch.Generator().manual_seed(3), np.random.default_rng(3), random.Random(3)]
    net = Net(counts=np.zeros(3), pair=(torch.zeros(2), [torch.zeros(2)]), own=generators)

    def middle(x, w, b):
        net.counts += 1
        net.pair[0].add_(1)
        net.pair[1][0].add_(1)
        torch.rand(1, generator=generators[0])
        generators[1].random()
        generators[2].random()
        return functional.linear(x, w, b)

    net.middle = middle
    before = [generators[0].get_state().tolist(), generators[1].bit_generator.state, generators[2].getstate()]
    proxies.evaluate(net, batch(), "*")
    assert not net.counts.any()
    assert not net.pair[0].any()
    assert not net.pair[1][0].any()
    after = [generators[0].get_state().tolist(), generators[1].bit_generator.state, generators[2].getstate()]
    assert after == before


def test_modes_of_passes_outlast_what_is_put_back():
    """Per-sample passes are in evaluation mode: dropout must not happen there."""
    net = Net()
    net.drop = nn.Dropout(0.5)
    net.middle = lambda x, w, b: functional.linear(net.drop(x), w, b)
    assert proxies.score(net, batch(), ["gradsign"], seed=0) == proxies.score(net, batch(), ["gradsign"], seed=1)


# -- what cannot be followed -------------------------------------------------------------------------------------------


class Fused(torch.autograd.Function):
    """A linear layer and a ReLU in one function."""

    @staticmethod
    def forward(ctx, x, w):
        out = functional.linear(x, w).relu()
        ctx.save_for_backward(x, w, out)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, w, out = ctx.saved_tensors
        grad = grad * (out > 0)
        return grad @ w, grad.T @ x


class Plain(torch.autograd.Function):
    """A linear layer alone."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return functional.linear(x, w)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return grad @ w, grad.T @ x


def test_the_inside_of_a_fused_function_has_no_gradient():
    with raised(UnsupportedModuleError, proxy="fisher"):
        proxies.score(Net(lambda x, w, _: Fused.apply(x, w)), batch(), "fisher")
    first = proxies.score(Net(lambda x, w, _: Plain.apply(x, w)), batch(), "fisher")
    assert first == pytest.approx(proxies.score(Net(lambda x, w, _: functional.linear(x, w)), batch(), "fisher"))


@pytest.mark.parametrize(
    "middle",
    [
        lambda x, w, b: torch.ops.aten.linear(x, w, b),
        lambda x, w, b: torch.ops.aten.linear.default(x, w, b),
        lambda x, w, b: torch.ops.aten.relu(functional.linear(x, w, b)),
        lambda x, w, b: functional.cosine_similarity(x[:, None], w[None], dim=-1) + b,
        lambda x, w, b: torch.cdist(x, w) + b,
        lambda x, w, b: x + w.gather(0, (x > 0).long()) + b,
    ],
)
def test_functions_that_are_not_understood_are_refused(middle):
    scores = proxies.evaluate(Net(middle), batch(), ["l2_norm", "nwot", "snip", "synflow"])
    assert not scores.values
    assert {type(error) for error in scores.errors.values()} == {UnsupportedModuleError}


def test_parts_that_torch_runs_itself_are_refused():
    net = Net()
    net.a = torch.jit.script(net.a)
    scores = proxies.evaluate(net, batch(), ["params", "snip", "nwot"])
    assert scores.values == {"params": 164}
    assert {type(error) for error in scores.errors.values()} == {UnsupportedModuleError}


def test_complex_parameters_are_refused():
    net = Net(phase=nn.Parameter(torch.ones(8, dtype=torch.complex128)))
    net.middle = lambda x, w, b: torch.fft.ifft(torch.fft.fft(functional.linear(x, w, b)) * net.phase).real
    with raised(UnsupportedModuleError, proxy="snip"):
        proxies.score(net, batch(), "snip")


class Ordered(nn.Module):
    """Calls its first layer on the batch in another order, and puts that back."""

    def __init__(self, order):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.h, self.order = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 4), order

    def forward(self, x):
        order = self.order(x)
        return self.h(self.b(self.a(x[order]).relu()[order.argsort()]).relu())


ORDERS = {
    "sorted": lambda x: x[:, 0].argsort(),
    "flipped": lambda x: torch.arange(len(x)).flip(0),
    "rolled": lambda x: torch.arange(len(x)).roll(1),
    "drawn": lambda x: torch.randperm(len(x), generator=torch.Generator().manual_seed(5)),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("samples", [3, 8])
def test_samples_in_another_order_are_scored_in_theirs_or_refused(order, samples):
    inputs, labels = (tensor[:samples] for tensor in batch())
    plain = proxies.evaluate(Ordered(lambda x: torch.arange(len(x))).double(), (inputs, labels), "*")
    other = proxies.evaluate(Ordered(ORDERS[order]).double(), (inputs, labels), "*")
    for name in {
        name for name in other.values if not name.startswith("evolved")
    }:  # those take what is missing as middling
        value = other.values[name]
        assert value == pytest.approx(plain.values[name], rel=1e-6, abs=1e-9), name
    refused = {name for name in other.errors if name not in plain.errors}
    assert {type(other.errors[name]) for name in refused} <= {UnsupportedModuleError}
    assert {"nwot", "near", "snip"} <= set(plain.values)
    assert "snip" in other.values


# -- forms -------------------------------------------------------------------------------------------------------------

BIASES = {
    "copied": lambda x, w, b: (x @ w.T).clone() + b,
    "subtracted": lambda x, w, b: x @ w.T - (-b),
    "by name": lambda x, w, b: torch.add(input=x @ w.T, other=b),
    "expanded": lambda x, w, b: (x @ w.T) + b.expand(len(x), -1),
    "in place": lambda x, w, b: (x @ w.T).add_(b),
    "subtracted in place": lambda x, w, b: (x @ w.T).sub_(-b),
}


@pytest.mark.parametrize("form", BIASES)
def test_a_bias_is_a_bias_however_it_is_added(form):
    same(Net(), Net(BIASES[form]), batch(), names="*", least=20)


def test_biases_of_several_heads():
    def heads(x, w, b):
        return (torch.einsum("nd,hkd->nhk", x, w.view(2, 4, 8)) + b.view(2, 4)).flatten(1)

    # zen takes heads and their channels for a map with positions.
    same(Net(), Net(heads), batch(), {"zen", "ncd_nwot"}, names=NAMES)


def test_a_weight_that_is_standardised_by_a_batch_normalisation():
    def by_batch_norm(x, w, b):
        return functional.linear(x, functional.batch_norm(w[None], None, None, training=True).view_as(w), b)

    def by_layer_norm(x, w, b):
        return functional.linear(x, functional.layer_norm(w, (8,)), b)

    same(Net(by_layer_norm), Net(by_batch_norm), batch(), names="*", least=20)


@pytest.mark.parametrize("end", [lambda y: y * 1.0, lambda y: y.clone(), lambda y: y + 0])
def test_what_is_done_to_the_result_without_changing_it(end):
    class Ended(Net):
        def forward(self, x):
            return end(super().forward(x))

    same(Net(), Ended(), batch(), names="*", least=20)


class Table(nn.Module):
    """A table of positions under some name."""

    def __init__(self, name):
        super().__init__()
        torch.manual_seed(1)
        self.name = name
        setattr(self, name, nn.Parameter(torch.randn(5, 8)))
        self.a, self.h = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.h((self.a(x) + getattr(self, self.name)).relu().mean(1))


def test_names_of_parameters_mean_nothing():
    inputs = torch.randn(N, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    same(Table("positions"), Table("bias"), (inputs, torch.arange(N) % 4), names="*", least=15)


class Squeezing(nn.Module):
    """A gate that pools by one function or another, and a head that takes the mean."""

    def __init__(self, pool):
        super().__init__()
        torch.manual_seed(1)
        self.c, self.g, self.h, self.pool = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 1), nn.Linear(6, 4), pool

    def forward(self, x):
        x = self.c(x).relu()
        return self.h((x * self.g(self.pool(x)).sigmoid()).mean((2, 3)))


def test_a_pool_inside_a_block_is_no_head():
    inputs = torch.randn(N, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first = Squeezing(lambda x: x.mean((2, 3), keepdim=True))
    second = Squeezing(lambda x: functional.adaptive_avg_pool2d(x, 1))
    same(first, second, (inputs, torch.arange(N) % 4), names=["zen", "synflow", "snip", "nwot"])


class Normalised(nn.Module):
    """A convolution, a normalisation and a head."""

    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(1)
        self.c, self.n, self.h = nn.Conv2d(3, 6, 3), norm, nn.Linear(6, 4)

    def forward(self, x):
        return self.h(self.n(self.c(x)).relu().mean((2, 3)))


def test_instance_normalisation_is_that_of_groups_of_one_channel():
    inputs = torch.randn(N, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pair = Normalised(nn.InstanceNorm2d(6, affine=True)), Normalised(nn.GroupNorm(6, 6))
    same(*pair, (inputs, torch.arange(N) % 4), names=["synflow", "synflow_bn", "snip", "zen", "nwot"])


def test_running_statistics_add_nothing_to_zen():
    inputs = torch.randn(N, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Frozen(nn.BatchNorm2d):
        def forward(self, x):
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False)

    def zen(norm):
        return proxies.score(Normalised(norm).double(), (inputs, torch.arange(N) % 4), "zen")["zen"]

    assert zen(Frozen(6)) == pytest.approx(zen(nn.Identity()), abs=1e-3)


def test_rows_of_a_table_by_a_slice():
    class Embedded(nn.Module):
        def __init__(self, rows):
            super().__init__()
            torch.manual_seed(1)
            self.table, self.h, self.rows = nn.Parameter(torch.randn(10, 8)), nn.Linear(8, 4), rows

        def forward(self, x):
            return self.h(self.rows(self.table, x).mean(1).relu())

    tokens = torch.arange(N * 5).view(N, 5) % 10
    pair = Embedded(lambda w, x: w[x]), Embedded(lambda w, x: w[x, :])
    same(*pair, (tokens, torch.arange(N) % 4), names="*", least=8)
    refused = proxies.evaluate(
        Embedded(lambda w, x: w.T[:, x].movedim(0, -1)), (tokens, torch.arange(N) % 4), "l2_norm"
    )
    assert type(refused.errors["l2_norm"]) is UnsupportedModuleError


# -- what is given -----------------------------------------------------------------------------------------------------


def test_what_is_no_module_is_refused():
    for given in (None, nn.Linear, torch.zeros(3)):
        with raised(ConfigError, key="module"):
            proxies.score(given, batch(), "params")


def test_a_mode_that_cannot_be_set_is_a_reason():
    class Stubborn(Net):
        def train(self, mode=True):
            raise NotImplementedError("no modes")

    scores = proxies.evaluate(Stubborn(), batch(), ["params", "evolved_sum"])
    assert not scores.values
    assert type(scores.errors["params"]) is UnsupportedModuleError


@pytest.mark.parametrize("made", [torch.Tensor.to_sparse, torch.Tensor.to_mkldnn])
def test_inputs_of_another_layout_are_refused(made):
    inputs, labels = batch()
    with raised(ProxyBatchError, proxy="*"):
        proxies.score(Net(), (made(inputs.float()), labels), "params")


def test_labels_of_any_integer_type():
    inputs, labels = batch()
    expected = proxies.score(Net(), (inputs, labels), "snip")
    assert all(proxies.score(Net(), (inputs, labels.to(t)), "snip") == expected for t in (torch.int32, torch.uint8))


def test_an_evolved_proxy_needs_most_of_its_proxies():
    class Broken(Net):
        def forward(self, x):
            raise RuntimeError("broken")

    scores = proxies.evaluate(Broken(), batch(), ["evolved_rank", "evolved_sum"])
    assert not scores.values
    assert set(scores.errors) == {"evolved_rank", "evolved_sum"}
    leaves = dict.fromkeys(proxies.evolved.proxy.evolved_proxy("evolved_sum").leaves, float("nan"))
    with raised(ProxyValueError, proxy="evolved_sum"):
        proxies.registry.get("evolved_sum")(leaves)


def test_what_a_proxy_does_to_the_module_lasts_until_it_is_done():
    def seen(context):
        counts = []
        for part in context.module.modules():
            part.register_forward_hook(lambda *_: counts.append(1))
        context.call(context.inputs)
        context.call(context.inputs)
        return float(len(counts))

    proxies.proxy("seen_by_hooks")(seen)
    try:
        net = Net()
        assert proxies.score(net, batch(), "seen_by_hooks") == {"seen_by_hooks": 2.0 * 3}
        assert not any(part._forward_hooks for part in net.modules())
    finally:
        proxies.registry.remove("seen_by_hooks")


# -- what is given is left alone, and what is kept is put back ---------------------------------------------------------


class WritesToItsInput(nn.Module):
    """As `Shifted`, in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.a, self.b = nn.Linear(6, 8).double(), nn.Linear(8, 4).double()

    def forward(self, x):
        x -= 0.5
        x *= 2.0
        return self.b(self.a(x).relu())


class Shifted(WritesToItsInput):
    def forward(self, x):
        return self.b(self.a((x - 0.5) * 2.0).relu())


def test_a_network_may_write_to_its_input():
    given = batch()
    before = given[0].clone()
    same(Shifted(), WritesToItsInput(), given, names="*", least=20)
    alone = {name: proxies.score(WritesToItsInput(), given, name)[name] for name in ("snip", "jacov", "flops")}
    assert alone == pytest.approx(proxies.score(WritesToItsInput(), given, list(alone)))
    results = proxies.score_many([WritesToItsInput() for _ in range(3)], given, "snip")
    assert len({found.values["snip"] for found in results}) == 1
    assert torch.equal(given[0], before)


def test_a_loss_may_write_to_the_outputs():
    def in_place(outputs, labels):
        return functional.cross_entropy(outputs.mul_(3.0).add_(1.0), labels)

    def plain(outputs, labels):
        return functional.cross_entropy(outputs * 3.0 + 1.0, labels)

    names = ["fisher", "grad_norm", "snip", "grasp", "zico", "jacov"]
    first, second = (proxies.score(Net(), batch(), names, loss=loss) for loss in (plain, in_place))
    assert first == pytest.approx(second)


def of(module):
    """All that a module keeps, by value: tensors with their shapes, types and strides."""
    found = {}
    for name, part in module.named_modules():
        for key, value in part.__dict__.items():
            for number, one in enumerate(value if isinstance(value, list) else [value]):
                inner = dict(one.state_dict()) if isinstance(one, nn.Module) else getattr(one, "__dict__", {"": one})
                for last, held in inner.items():
                    if isinstance(held, torch.Tensor):
                        told = (held.dtype, held.shape, held.stride(), held.detach().clone().tolist())
                        found[name, key, number, last] = told
    for name, parameter in module.named_parameters():
        found[name] = parameter.dtype, parameter.shape, parameter.stride(), parameter.tolist()
    return found


class Kept(Net):
    """Changes something that it keeps with every call; the output is what it is without."""

    def __init__(self, kept, change):
        super().__init__(kept=kept)
        if isinstance(kept, torch.Tensor) and not isinstance(kept, nn.Parameter):
            del self.kept
            self.register_buffer("kept", kept)
        self.change = change

    def forward(self, x):
        self.change(self.kept, x.detach())
        return super().forward(x)


def grown(kept, x):
    kept.v.data = torch.cat([kept.v.data, x.to(kept.v)])


def resized(kept, x):
    kept.v.resize_(7).fill_(1.0)


def counted(kept, x):
    kept.n += 1
    kept.v = kept.v + x.mean().to(kept.v)


def normalised(kept, x):
    kept[0](torch.cat([x, -x]).to(kept[0].weight))


def space(**attributes):
    return SimpleNamespace(**attributes)


@pytest.mark.parametrize(
    ("kept", "change"),
    [
        (lambda: torch.ones(1, 6).expand(4, 6), lambda kept, x: None),
        (lambda: space(v=torch.zeros(1, 6)), grown),
        (lambda: space(v=torch.zeros(3)), resized),
        (lambda: space(v=torch.zeros(3), n=0), counted),
        (lambda: [nn.BatchNorm1d(6)], normalised),
        (lambda: torch.eye(6).to_sparse(), lambda kept, x: None),
    ],
    ids=["expanded", "grown", "resized", "object", "hidden module", "sparse"],
)
def test_whatever_is_kept_is_put_back(kept, change):
    net = Kept(kept(), change)
    before, counts = of(net), getattr(net.kept, "n", None)
    names = ["params", "grad_norm", "snip", "synflow", "ntk", "nwot"]
    first = proxies.score(net, batch(), names)
    assert first == pytest.approx(proxies.score(Net(), batch(), names))
    assert of(net) == before
    assert getattr(net.kept, "n", None) == counts


def in_half(context):
    context.module.half()
    return 1.0


def channels_last(context):
    context.module.to(memory_format=torch.channels_last)
    return 1.0


def other_shapes(context):
    for parameter in context.module.parameters():
        parameter.data = torch.zeros(2, 2, dtype=parameter.dtype)
    return 1.0


@pytest.mark.parametrize("function", [in_half, channels_last, other_shapes])
def test_whatever_a_proxy_does_to_the_module_is_undone(function):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 4))
    before, held = of(net), [p.data_ptr() for p in net.parameters()]
    proxies.proxy("of_a_test")(function)
    try:
        proxies.score(net, (torch.randn(4, 3, 4, 4), torch.arange(4)), "of_a_test")
    finally:
        proxies.registry.remove("of_a_test")
    assert of(net) == before
    assert [p.data_ptr() for p in net.parameters()] == held


# -- what cannot be scored right ---------------------------------------------------------------------------------------


@torch.jit.script
def scripted_relu(x):
    return torch.relu(x)


@torch.jit.script
def scripted_linear(x, w, b):
    return torch.nn.functional.linear(x, w, b)


def calls_one(x, w, b):
    return scripted_relu(functional.linear(x, w, b))


@pytest.mark.parametrize("middle", [scripted_linear, calls_one, partial(calls_one), lambda x, w, b: calls_one(x, w, b)])
def test_scripted_functions_are_refused(middle):
    class Calls(Net):
        def forward(self, x):
            return self.h(self.middle(self.a(x), self.b.weight, self.b.bias))

    net = Calls()
    net.middle = middle
    for module in (net, Net(lambda x, w, b: middle(x, w, b)), nn.Sequential(net)):
        with raised(UnsupportedModuleError):
            proxies.score(module, batch(), "swap")


class Mixes(Net):
    """Sums over samples, so that the first alone is what it is without the others."""

    def forward(self, x):
        return super().forward(x.cumsum(0))


class Sequence(nn.Module):
    """A recurrent network that takes samples for steps."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.r, self.h = nn.LSTM(6, 5).double(), nn.Linear(5, 4).double()

    def forward(self, x):
        return self.h(self.r(x[:, None])[0][:, 0])


@pytest.mark.parametrize("make", [Mixes, Sequence])
@pytest.mark.parametrize("name", ["ntk", "gradsign"])
def test_samples_that_depend_on_those_before_have_no_gradients_of_their_own(make, name):
    with raised(UnsupportedModuleError, proxy=name):
        proxies.score(make(), batch(), name)


@pytest.mark.parametrize("length", [5, N])
def test_sequences_that_come_first_are_refused_whatever_their_length(length):
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=False).double()

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = net, nn.Linear(6, 4).double()

        def forward(self, x):
            return self.head(self.layer(x.transpose(0, 1)).mean(0))

    inputs = torch.randn(N, length, 6, dtype=torch.float64), torch.arange(N) % 4
    found = proxies.evaluate(First(), inputs, ["near", "l_swag", "wrcor"])
    assert not found.values


def test_outputs_that_are_no_numbers_have_no_scores():
    net = Net()
    nn.init.constant_(net.a.weight, float("nan"))
    found = proxies.evaluate(net, batch(), ["swap", "linear_regions", "gradsign", "ntk", "nwot", "jacov"])
    assert not found.values


class Fourier(nn.Module):
    """Multiplies by a complex weight that is made of a real parameter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.w = nn.Parameter(torch.randn(4, 4, 2, dtype=torch.float64))
        self.h = nn.Linear(6, 4).double()

    def forward(self, x):
        return self.h(torch.fft.irfft(torch.fft.rfft(x) @ torch.view_as_complex(self.w), n=6).relu())


def test_complex_weights_are_refused_where_they_count():
    found = proxies.evaluate(Fourier(), batch(), ["snip", "plain", "grasp", "synflow", "fisher", "swap", "params"])
    assert found.values.keys() >= {"swap", "params"}
    assert not found.values.keys() & {"snip", "plain", "grasp", "fisher"}


@pytest.mark.parametrize(
    "middle",
    [lambda x, w, b: torch.addmm(x, x, w.T), lambda x, w, b: w.index_select(1, x.argmax(1))],
    ids=["addmm of data", "columns"],
)
def test_products_that_are_seen_otherwise_than_what_they_equal_are_refused(middle):
    with raised(UnsupportedModuleError):
        proxies.score(Net(middle), batch(), "fisher")


def test_weights_of_processes_are_drawn_in_single_precision(monkeypatch):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        [found] = proxies.score_many([3], batch()[0].float(), "l2_norm", build=lambda n: nn.Linear(6, n))
    finally:
        torch.set_default_dtype(before)
    [plain] = proxies.score_many([3], batch()[0].float(), "l2_norm", build=lambda n: nn.Linear(6, n))
    assert found.values == plain.values
