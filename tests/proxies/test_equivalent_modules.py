"""Modules that compute the same have the same scores, however they are written."""

from __future__ import annotations

import copy
import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

import proxies
from po_nas.errors import UnsupportedModuleError
from tests.errors import raised
from tests.proxies.networks import CLASSES

N = 6
NAMES = [
    *("params", "flops", "l2_norm", "grad_norm", "plain", "snip", "fisher", "grasp", "zico", "synflow", "synflow_bn"),
    *("jacov", "epe_nas", "nwot", "swap", "linear_regions", "zen", "meco", "ntk", "gradsign"),
    *("az_expressivity", "az_progressivity", "az_trainability", "az_complexity"),
]
"""Proxies that are refused for one of two modules only where a test says so; test_equal_functions.py has them all."""
PARAMETERS = {"params", "gradsign", "ntk"}
"""Scores of the parameters that there are, not of what is computed from them."""


def labels():
    return torch.arange(N) % CLASSES


def images(seed=1):
    return torch.randn(N, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), labels()


def tokens(seed=1, length=5, width=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, length, width, generator=generator, dtype=torch.float64), labels()


def same(first, second, data, without=(), *, least=3, names=NAMES):
    """Check that all scores that one of two modules has are those of the other one."""
    (one, two) = (proxies.evaluate(module.double(), data, names) for module in (first, second))
    for name in set(names) - set(without):
        a, b = (scores.values.get(name, type(scores.errors.get(name)).__name__) for scores in (one, two))
        problem = (name, a, b, one.errors.get(name), two.errors.get(name))
        assert isinstance(a, str) == isinstance(b, str), problem
        assert a == b if isinstance(a, str) else a == pytest.approx(b, rel=1e-6), problem
    assert len(one.values) >= least
    return one.values


# -- normalisation and activations ------------------------------------------------------------------------------------


class NormAct(nn.BatchNorm2d):
    """Batch normalisation with the activation inside, which ends as its base class ends."""

    def forward(self, x):
        return functional.relu(super().forward(x), inplace=True)


class FunctionalNorm(nn.Module):
    """Batch normalisation by the function, with parameters and buffers of other names, and a clamp for a ReLU."""

    def __init__(self, width):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def forward(self, x):
        x = functional.batch_norm(x, self.centre, self.spread, self.scale, self.shift, self.training, 0.1, 1e-5)
        return x.clamp(min=0)


def conv_net(norm):
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), norm(6), nn.Conv2d(6, 8, 3, 2, 1, bias=False), norm(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES),
    )  # fmt: skip


def share(first, second):
    """Give the second module the parameters of the first, in their order."""
    with torch.no_grad():
        for mine, other in zip(second.parameters(), first.parameters(), strict=True):
            mine.copy_(other.reshape(mine.shape))
    return second


@pytest.mark.parametrize("norm", [NormAct, FunctionalNorm])
def test_batch_normalisation_is_what_is_computed(norm):
    plain = conv_net(lambda width: nn.Sequential(nn.BatchNorm2d(width), nn.ReLU()))
    same(plain, share(plain, conv_net(norm)), images(), least=15)


# -- rows that are not samples ----------------------------------------------------------------------------------------


class Rows(nn.Module):
    """Layers on tokens, in one of several arrangements of samples and tokens."""

    def __init__(self, arrange, back, act=functional.relu):
        super().__init__()
        self.a, self.b = nn.Linear(8, 12), nn.Linear(12, CLASSES)
        self.arrange, self.back, self.act = arrange, back, act

    def forward(self, x):
        n, t, _ = x.shape
        hidden = self.act(self.a(self.arrange(x)))
        return self.b(self.back(hidden, n, t).mean(1))


ARRANGEMENTS = {
    "rows": (lambda x: x.reshape(-1, x.shape[-1]), lambda h, n, t: h.view(n, t, -1)),
    "tokens first": (lambda x: x.transpose(0, 1), lambda h, n, t: h.transpose(0, 1)),
    "rows, tokens first": (lambda x: x.transpose(0, 1).flatten(0, 1), lambda h, n, t: h.view(t, n, -1).transpose(0, 1)),
    "windows": (lambda x: x.reshape(-1, 2, x.shape[-1]), lambda h, n, t: h.view(n, t, -1)),
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("length", [4, N])
def test_rows_are_put_together_to_samples(arrangement, length):
    plain = Rows(lambda x: x, lambda h, n, t: h)
    other = share(plain, Rows(*ARRANGEMENTS[arrangement]))
    found = same(plain, other, tokens(length=length), least=12)
    assert {"nwot", "swap", "fisher"} <= found.keys()


class Mixed(nn.Module):
    """Rows in an order of its own, which depends on the values."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 12), nn.Linear(12, CLASSES)

    def forward(self, x):
        rows = x.flatten(0, 1)
        order = rows[:, 0].argsort()
        hidden = torch.relu(self.a(rows[order]))
        return self.b(hidden[order.argsort()].view(len(x), -1, 12).mean(1))


def test_rows_that_cannot_be_told_apart_are_refused():
    errors = proxies.evaluate(Mixed(), (tokens()[0].float(), labels()), ["nwot", "swap", "fisher", "snip"]).errors
    assert {name: type(e) for name, e in errors.items()} == dict.fromkeys(
        ("nwot", "swap", "fisher"), UnsupportedModuleError
    )


# -- weights ----------------------------------------------------------------------------------------------------------


def tower():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, CLASSES)
    ).double()  # fmt: skip


class Same(nn.Module):
    def forward(self, weight):
        return weight * 1.0


def old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)


def old_spectral_norm(layer):
    # A weight of norm one, which spectral normalisation keeps as it is once its vectors are found.
    with torch.no_grad():
        layer.weight /= torch.linalg.matrix_norm(layer.weight, 2)
    plain = copy.deepcopy(layer)
    nn.utils.spectral_norm(layer, n_power_iterations=300)
    return plain, layer


REWRITTEN = {
    "prune.identity": lambda layer: prune.identity(layer, "weight"),
    "weight_norm": old_weight_norm,
    "parametrizations.weight_norm": parametrizations.weight_norm,
    "parametrize": lambda layer: parametrize.register_parametrization(layer, "weight", Same()) or layer,
}


@pytest.mark.parametrize("rewrite", REWRITTEN)
def test_weights_that_are_computed(rewrite):
    plain = tower()
    other = copy.deepcopy(plain)
    for k in (1, 3):
        REWRITTEN[rewrite](other[k])
    without = PARAMETERS if "weight_norm" in rewrite else set()
    same(plain, other, images(), without, least=14)


def test_a_pruned_layer_is_one_with_zeros_in_its_weight():
    other = tower()
    prune.random_unstructured(other[1], "weight", 0.5)
    plain = tower()
    with torch.no_grad():
        for k in (1, 3, 5):
            plain[k].weight.copy_(other[k].weight)
            plain[k].bias.copy_(other[k].bias)
    same(plain, other, images(), PARAMETERS, least=12)


def test_spectral_norm():
    plain, other = tower(), tower()
    share(plain, other)
    plain[1], other[1] = old_spectral_norm(other[1])
    # Products of a weight with vectors of its own are operations like others.
    same(plain, other, images(), PARAMETERS | {"flops", "az_complexity"}, least=12)


class Products(nn.Module):
    """A perceptron of parameters with names of its own, multiplied in one of several ways."""

    def __init__(self, multiply, transposed):
        super().__init__()
        self.kernels = nn.ParameterList()
        for outputs, inputs in ((7, 192), (9, 7), (CLASSES, 9)):
            shape = (inputs, outputs) if transposed else (outputs, inputs)
            self.kernels.append(nn.Parameter(torch.zeros(shape)))
            self.kernels.append(nn.Parameter(torch.zeros(outputs)))
        self.multiply = multiply

    def forward(self, x):
        x = x.flatten(1)
        for k in range(3):
            x = self.multiply(x, self.kernels[2 * k], self.kernels[2 * k + 1])
            x = x.relu() if k < 2 else x
        return x


MULTIPLIED = {
    "linear": (functional.linear, False),
    "x @ w": (lambda x, w, b: x @ w + b, True),
    "x @ w.T": (lambda x, w, b: x @ w.T + b, False),
    "(w @ x.T).T": (lambda x, w, b: (w @ x.T).T + b, False),
    "addmm": (lambda x, w, b: torch.addmm(b, x, w), True),
    "einsum": (lambda x, w, b: torch.einsum("ni,oi->no", x, w) + b, False),
    "bmm": (lambda x, w, b: torch.bmm(x[:, None], w.T.expand(len(x), -1, -1))[:, 0] + b, False),
    "repeated": (lambda x, w, b: torch.bmm(x[:, None], w.T.repeat(len(x), 1, 1))[:, 0] + b, False),
    "tensordot": (lambda x, w, b: torch.tensordot(x, w, ([1], [1])) + b, False),
    "inner": (lambda x, w, b: torch.inner(x, w) + b, False),
    "conv1d": (lambda x, w, b: functional.conv1d(x[..., None], w[..., None], b)[..., 0], False),
    "multiply_by_one": (lambda x, w, b: functional.linear(x, w * torch.ones_like(w), b), False),
    "stacked": (lambda x, w, b: functional.linear(x, torch.stack(list(w.unbind())), b), False),
}


@pytest.mark.parametrize("way", MULTIPLIED)
def test_products_are_layers_however_they_are_written(way):
    plain = tower()
    multiply, transposed = MULTIPLIED[way]
    other = Products(multiply, transposed).double()
    with torch.no_grad():
        for mine, given in zip(other.parameters(), plain.parameters(), strict=True):
            mine.copy_(given.T if transposed and given.dim() == 2 else given)
    same(plain, other, images(), {"meco", "flops", "az_complexity"}, least=14)


class Shared(nn.Module):
    """One weight for two layers: one module called twice, or two with one parameter."""

    def __init__(self, modules, listed=False):
        super().__init__()
        self.stem, self.head = nn.Linear(192, 8), nn.Linear(8, CLASSES)
        self.first = nn.Linear(8, 8)
        self.second = self.first if modules == 1 else nn.Linear(8, 8)
        self.second.weight, self.second.bias = self.first.weight, self.first.bias
        self.listed = [self.first.weight] if listed else None

    def forward(self, x):
        x = self.first(self.stem(x.flatten(1)).relu()).relu()
        x = functional.linear(x, self.listed[0], self.first.bias) if self.listed else self.second(x)
        return self.head(x.relu())


@pytest.mark.parametrize("listed", [False, True])
def test_a_shared_parameter_is_seen_wherever_it_is_used(listed):
    plain = Shared(1)
    other = share(plain, Shared(2, listed))
    same(plain, other, images(), least=14)


# -- attention, recurrent layers, embeddings --------------------------------------------------------------------------


class Attention(nn.Module):
    """A transformer block, its queries, keys and values from one matrix or three, cut out in several ways."""

    def __init__(self, way, causal=False):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        if way == "three":
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        elif way == "module":
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        else:
            self.qkv = nn.Linear(8, 24)
        if way != "module":
            self.out = nn.Linear(8, 8)
        self.a, self.b, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, CLASSES)
        self.way = way

    def heads(self, x):
        n, t, _ = x.shape
        if self.way == "three":
            return [f(x).view(n, t, 2, 4).transpose(1, 2) for f in (self.q, self.k, self.v)]
        if self.way == "chunk":
            return [part.view(n, t, 2, 4).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)]
        if self.way == "slices":
            y = self.qkv(x)
            return [y[..., 8 * k : 8 * k + 8].unflatten(-1, (2, 4)).transpose(1, 2) for k in range(3)]
        return self.qkv(x).reshape(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x):
        y = self.norm(x)
        if self.way == "module":
            y = self.attend(y, y, y, need_weights=False)[0]
        else:
            y = functional.scaled_dot_product_attention(*self.heads(y)).transpose(1, 2).flatten(2)
            y = self.out(y)
        x = x + y
        x = x + self.b(self.a(x).relu())
        return self.head(x.mean(1))


@pytest.mark.parametrize("way", ["chunk", "slices", "permute", "module"])
def test_merged_queries_keys_and_values_score_as_separate_ones(way):
    plain, other = Attention("three").double(), Attention(way).double()
    given = dict(plain.named_parameters())
    merged = {"weight": "attend.in_proj_weight", "bias": "attend.in_proj_bias"}
    with torch.no_grad():
        for kind in ("weight", "bias"):
            three = torch.cat([given[f"{name}.{kind}"] for name in "qkv"])
            mine = dict(other.named_parameters())
            mine[merged[kind] if way == "module" else f"qkv.{kind}"].copy_(three)
            mine[f"attend.out_proj.{kind}" if way == "module" else f"out.{kind}"].copy_(given[f"out.{kind}"])
            for name in ("norm", "a", "b", "head"):
                mine[f"{name}.{kind}"].copy_(given[f"{name}.{kind}"])
    # The loss does not depend on the bias of the keys: its gradient is rounding noise.
    found = same(plain, other, tokens(), {"gradsign"}, least=14)
    assert found["l2_norm"] == pytest.approx(sum(float(p.detach().norm()) for p in given.values() if p.dim() == 2))


def test_every_weight_of_a_transformer_encoder_counts():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    network = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(40, CLASSES))
    weights = [p for p in network.parameters() if p.dim() == 2]
    parts = [w for weight in weights for w in (weight.chunk(3) if weight.shape[0] == 24 else [weight])]
    found = proxies.score(network, (tokens()[0].float(), labels()), "l2_norm")["l2_norm"]
    assert found == pytest.approx(math.fsum(float(w.detach().norm()) for w in parts))


class Recurrent(nn.Module):
    """A recurrent layer of torch, its cell called at every step, or written out."""

    def __init__(self, kind, way):
        super().__init__()
        self.kind, self.way = kind, way
        if way == "layer":
            options = {"nonlinearity": "relu"} if kind == "RNN" else {}
            self.inner = getattr(nn, kind)(8, 6, batch_first=True, **options)
        elif way == "cell":
            options = {"nonlinearity": "relu"} if kind == "RNN" else {}
            self.inner = getattr(nn, f"{kind}Cell")(8, 6, **options)
        else:
            gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
            self.w, self.u = nn.Parameter(torch.randn(6 * gates, 8)), nn.Parameter(torch.randn(6 * gates, 6))
            self.b, self.c = nn.Parameter(torch.randn(6 * gates)), nn.Parameter(torch.randn(6 * gates))
        self.head = nn.Linear(6, CLASSES)

    def step(self, x, h, c):
        a, b = functional.linear(x, self.w, self.b), functional.linear(h, self.u, self.c)
        if self.kind == "RNN":
            return (a + b).relu(), c
        if self.kind == "GRU":
            (r, z, n), (s, y, m) = a.chunk(3, 1), b.chunk(3, 1)
            z = torch.sigmoid(z + y)
            return (1 - z) * torch.tanh(n + torch.sigmoid(r + s) * m) + z * h, c
        i, f, g, o = (a + b).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, x):
        if self.way == "layer":
            return self.head(self.inner(x)[0][:, -1])
        h = c = x.new_zeros(len(x), 6)
        for t in range(x.shape[1]):
            if self.way == "written":
                h, c = self.step(x[:, t], h, c)
            elif self.kind == "LSTM":
                h, c = self.inner(x[:, t], (h, c))
            else:
                h = self.inner(x[:, t], h)
        return self.head(h)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("way", ["cell", "layer"])
def test_recurrent_layers_are_what_they_compute(kind, way):
    plain = Recurrent(kind, "written")
    other = share(plain, Recurrent(kind, way))
    # A layer puts out all of its steps, which is a feature map to zen; the loops here keep the last.
    found = same(plain, other, tokens(), {"flops", "az_complexity", "zen"}, least=11)
    weights = [plain.w, plain.u, plain.head.weight]
    assert found["l2_norm"] == pytest.approx(sum(float(w.detach().norm()) for w in weights))


class Words(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.way = way
        if way == "module":
            self.table = nn.Embedding(11, 6)
        else:
            self.weight = nn.Parameter(torch.randn(11, 6))
        self.hidden, self.head = nn.Linear(6, 9), nn.Linear(9, CLASSES)

    def forward(self, x):
        if self.way == "module":
            x = self.table(x)
        elif self.way == "one hot":
            x = functional.one_hot(x, 11).to(self.weight.dtype) @ self.weight
        elif self.way == "index":
            x = self.weight[x]
        else:
            x = self.weight.index_select(0, x.flatten()).view(*x.shape, 6)
        return self.head(self.hidden(x).relu().mean(1))


@pytest.mark.parametrize("way", ["module", "index", "index_select"])
def test_an_embedding_is_a_product_with_one_hot_rows(way):
    plain = Words("one hot")
    other = share(plain, Words(way))
    data = (torch.arange(N * 4).reshape(N, 4) * 7 % 11, labels())
    same(plain, other, data, {"flops", "az_complexity", *proxies.names("az_*")}, least=8)


# -- samples that are mixed -------------------------------------------------------------------------------------------


class Centred(nn.Module):
    """Takes away the mean of the batch, always or in training; or a part of each sample at random."""

    def __init__(self, way):
        super().__init__()
        self.a, self.b, self.way = nn.Linear(8, 7), nn.Linear(7, CLASSES), way

    def forward(self, x):
        x = self.a(x.mean(1))
        if self.way == "always" or (self.way == "in training" and self.training):
            x = x - x.mean(0)
        if self.way == "at random" and self.training:
            x = x * torch.rand(len(x), 1, dtype=x.dtype)
        return self.b(x.relu())


@pytest.mark.parametrize("way", ["never", "always", "in training", "at random"])
def test_samples_that_are_mixed_have_no_gradients_of_their_own(way):
    found = proxies.evaluate(Centred(way).double(), tokens(), ["ntk", "gradsign", "vkdnw_entropy", "snip"])
    mixed = way in ("always", "in training")
    assert set(found.values) == ({"snip"} if mixed else {"ntk", "gradsign", "vkdnw_entropy", "snip"})
    for problem in found.errors.values():
        assert isinstance(problem, UnsupportedModuleError)
        assert problem.lacks == "separate samples"


# -- parts that are computed again ------------------------------------------------------------------------------------


class Checkpointed(nn.Module):
    def __init__(self, reentrant=None):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.body = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        )
        self.head = nn.Linear(4, CLASSES)
        self.reentrant = reentrant

    def forward(self, x):
        x = self.stem(x).relu()
        y = self.body(x) if self.reentrant is None else checkpoint(self.body, x, use_reentrant=self.reentrant)
        return self.head((x.relu() + y).relu().mean((2, 3)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_checkpoints_change_nothing(dtype):
    plain = Checkpointed()
    other = share(plain, Checkpointed(False)).to(dtype)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    data = (images()[0].to(dtype), labels())
    expected, found = (proxies.score(module.to(dtype), data, NAMES) for module in (plain, other))
    assert found == pytest.approx(expected, rel=1e-6 if dtype == torch.float64 else 1e-2)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_reentrant_checkpoints_are_refused_where_they_hide_weights():
    other = Checkpointed(True).double()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    plain = Checkpointed().double()
    plain.load_state_dict(other.state_dict())
    assert proxies.score(other, images(), "nwot") == proxies.score(plain, images(), "nwot")
    for name in ("snip", "synflow", "grasp", "zico", "fisher"):
        with raised(UnsupportedModuleError, proxy=name, lacks="checkpoints that are not re-entrant"):
            proxies.score(other, images(), name)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
