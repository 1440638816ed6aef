"""Proxies of transformers: against slow references, and equal however attention is written."""

from __future__ import annotations

import functools
import itertools
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import proxies
from po_nas.errors import UnsupportedModuleError
from po_nas.testing.proxies import ProxyConformance
from tests.errors import check, raised
from tests.proxies.networks import Residual, make
from tests.proxies.networks import batch as images
from tests.proxies.transformers import (
    HEADS,
    KERNELS,
    TOKENS,
    WIDTH,
    Bare,
    FeedForward,
    Gated,
    Merged,
    Module,
    N,
    Split,
    Transformer,
    explicit,
    patches,
    rewritten,
    sentences,
)

NAMES = ["attention_confidence", "softmax_confidence", "head_importance", "synaptic_diversity", "dss", "w_pca"]


class Observed(nn.Module):
    """Attention of one head after the other, one sample after the other, that keeps what the references read."""

    def __init__(self, inner) -> None:
        super().__init__()
        self.inner, self.outputs, self.weights = inner, [], []

    def forward(self, x):
        rows = []
        for sample in x:
            heads = []
            for h in range(HEADS):
                part = slice(h * WIDTH // HEADS, (h + 1) * WIDTH // HEADS)
                q, k, v = (layer(sample)[:, part] for layer in (self.inner.q, self.inner.k, self.inner.v))
                scores = q @ k.T / (WIDTH // HEADS) ** 0.5
                weights = scores.exp() / scores.exp().sum(1, keepdim=True)
                output = weights @ v
                output.retain_grad()
                self.weights.append(weights.detach())
                self.outputs.append(output)
                heads.append(output)
            rows.append(torch.cat(heads, 1))
        return self.inner.o(torch.stack(rows))


def observed(network, x, y, feed_forward=FeedForward):
    """The network with gradients, and its attention taken apart."""
    network = rewritten(network, feed_forward=feed_forward)
    network.attention = nn.ModuleList(Observed(a) for a in network.attention)
    for layer in network.feed_forward:
        first_of(layer).register_forward_hook(lambda m, i, o: hidden.append(o.detach()))
    hidden: list = []
    functional.cross_entropy(network(x), y).backward()
    return network, hidden


def linears_of(layer):
    return [m for m in layer.modules() if isinstance(m, nn.Linear)]


def first_of(layer):
    return linears_of(layer)[0]


def nuclear(matrix):
    return np.linalg.svd(matrix.detach().numpy(), compute_uv=False).sum()


def reference(network, x, y, feed_forward=FeedForward):
    by_sample = [observed(network, x[i : i + 1], y[i : i + 1], feed_forward)[0] for i in range(len(x))]
    importance = [
        abs(float((output * output.grad).sum().detach()))
        for one in by_sample
        for attention in one.attention
        for output in attention.outputs
    ]
    network, hidden = observed(network, x, y, feed_forward)
    largest, confident = [], []
    for attention in network.attention:
        for output, weights in zip(attention.outputs, attention.weights, strict=True):
            largest += [abs(max(token.tolist())) for token in output]
            confident += [max(token.tolist()) for token in weights]
    diversity = sum(
        nuclear(layer.weight) * nuclear(layer.weight.grad)
        for a in network.attention
        for layer in (a.inner.q, a.inner.k, a.inner.v, a.inner.o)
    )
    matrices = [layer.weight for f in network.feed_forward for layer in linears_of(f)]
    saliency = sum(float((w * w.grad).abs().sum().detach()) for w in matrices)
    components = 0
    for h in hidden:
        variances = np.linalg.svd(h.flatten(0, 1).numpy() - h.flatten(0, 1).numpy().mean(0), compute_uv=False) ** 2
        components += next(k for k in range(1, 99) if variances[:k].sum() >= 0.99 * variances.sum())
    return {
        "attention_confidence": np.mean(largest),
        "softmax_confidence": np.mean(confident),
        "head_importance": np.mean(importance),
        "synaptic_diversity": diversity,
        "dss": diversity + saliency,
        "w_pca": components * sum(p.numel() for p in network.parameters()),
    }


def network(words=False, **kinds):
    return Transformer(words=words, **kinds).double()


def scores(module, batch, names=NAMES):
    return proxies.score(module, batch, names)


@pytest.mark.parametrize("words", [False, True], ids=["patches", "words"])
def test_scores_are_those_of_the_references(words):
    module, batch = network(words), sentences() if words else patches()
    found, expected = scores(module, batch), reference(module, *batch)
    assert found == pytest.approx(expected, rel=1e-9)


BARE = ("matmul", "addmm", "einsum", "conv1d", "weight first", "tensordot", "halves")
WRITINGS = {
    **{f"split-{name}": partial(Split, kernel) for name, kernel in KERNELS.items()},
    **{f"merged-{name}": partial(Merged, kernel) for name, kernel in KERNELS.items()},
    "merged-index": partial(Merged, take="index"),
    "merged-unbind": partial(Merged, explicit, take="unbind"),
    "module": Module,
    "module-weights": partial(Module, weights=True),
    **{f"bare-{way}": partial(Bare, way) for way in BARE},
}


@functools.cache
def known(words):
    """A network, a batch and its scores."""
    module, batch = network(words), sentences() if words else patches()
    return module, batch, scores(module, batch)


@pytest.mark.parametrize(
    ("writing", "words"),
    [
        *((writing, False) for writing in WRITINGS),
        *((writing, True) for writing in ("merged-index", "module")),
        *(pytest.param(writing, True, marks=pytest.mark.slow) for writing in WRITINGS),
    ],
)
def test_all_ways_to_write_attention_score_equal(writing, words):
    module, batch, expected = known(words)
    other = rewritten(module, WRITINGS[writing])
    torch.testing.assert_close(module(batch[0]), other(batch[0]))
    assert scores(other, batch) == pytest.approx(expected, rel=1e-9)


def test_gates_in_one_layer_or_in_two_score_equal():
    module = network(feed_forward=Gated)
    found = scores(module, patches())
    assert found == pytest.approx(scores(rewritten(module, Module, partial(Gated, merged=True)), patches()), rel=1e-9)


def test_the_order_of_heads_does_not_matter():
    module = network()
    other = rewritten(module)
    half = WIDTH // HEADS
    with torch.no_grad():
        for attention in other.attention:
            for layer in (attention.q, attention.k, attention.v):
                for tensor in (layer.weight, layer.bias):
                    tensor.copy_(torch.cat((tensor[half:], tensor[:half])))
            attention.o.weight.copy_(torch.cat((attention.o.weight[:, half:], attention.o.weight[:, :half]), 1))
    assert scores(other, patches()) == pytest.approx(scores(module, patches()), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_no_score_without_attention(name):
    linear = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6), nn.Softmax(-1), nn.Flatten(), nn.Linear(30, 3))
    for module, batch in ((make(Residual), images()), (linear.double(), patches()), (LinearAttention(), patches())):
        with raised(UnsupportedModuleError, proxy=name, lacks="attention"):
            proxies.score(module, batch, name)


class LinearAttention(nn.Module):
    """A softmax of queries and of keys, none of their product."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(6, 12).double(), nn.Linear(4, 3).double()

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head((q.softmax(-1) @ (k.softmax(1).mT @ v)).mean(1))


def test_no_feed_forward_layer():
    module = network(feed_forward=nn.Identity)
    with raised(UnsupportedModuleError, proxy="w_pca", lacks="feed-forward layers"):
        proxies.score(module, patches(), "w_pca")
    found = scores(module, patches(), ["dss", "synaptic_diversity"])
    assert found["dss"] == found["synaptic_diversity"] > 0


class Deep(nn.Sequential):
    """A feed-forward layer of more than two linear layers."""

    def __init__(self, *widths: int) -> None:
        pairs = list(itertools.pairwise((WIDTH, *widths, WIDTH)))
        layers = [part for a, b in pairs for part in (nn.Linear(a, b), nn.GELU(), nn.Dropout(0.0))]
        super().__init__(*layers[:-2])


@pytest.mark.parametrize("widths", [(9,), (9, 5), (9, 9), (9, 9, 9), (5, 9, 5), (5, 9, 5, 9), (WIDTH,)])
def test_a_feed_forward_layer_of_several(widths):
    """Also where it has a width twice, and what lies between could be taken for one."""
    kind = partial(Deep, *widths)
    module = network(feed_forward=kind)
    assert scores(module, patches()) == pytest.approx(reference(module, *patches(), kind), rel=1e-6)


def test_an_activation_between_any_two_or_none():
    module = network(feed_forward=partial(Deep, 9, 5))
    for layer in module.feed_forward:
        layer[4] = nn.Identity()  # the second activation: two linear layers are one
    with raised(UnsupportedModuleError, proxy="w_pca", lacks="feed-forward layers"):
        proxies.score(module, patches(), "w_pca")


class Decoys(nn.Module):
    """Around attention: layers with an activation between them that are no feed-forward layers."""

    def __init__(self, decoys: bool) -> None:
        super().__init__()
        self.decoys = decoys
        self.body = Transformer(words=False)
        self.stem = nn.Sequential(nn.Conv1d(6, 4, 1), nn.ReLU(), nn.Conv1d(4, 6, 3, padding=1))
        self.position = nn.Sequential(nn.Linear(2, 9), nn.ReLU(), nn.Linear(9, 2))
        self.squeeze = nn.Sequential(nn.Linear(6, 2), nn.ReLU(), nn.Linear(2, 6), nn.Sigmoid())
        self.register_buffer("places", torch.rand(TOKENS * N, 2))

    def forward(self, x):
        # Computed alike with and without, so that the rest of the network sees the same.
        if self.decoys:
            x = x + 0 * self.stem(x.mT).mT
            x = x * (1 + 0 * self.squeeze(x.mean(1))[:, None])
            x = x + 0 * self.position(self.places).mean()
        return self.body(x)


def test_only_feed_forward_layers_count_as_such():
    with_, without = Decoys(True).double(), Decoys(False).double()
    without.load_state_dict(with_.state_dict())
    assert scores(with_, patches()) == pytest.approx(scores(without, patches()), rel=1e-9)


class Windows(nn.Module):
    """Attention within windows of the tokens, samples and windows in one dimension."""

    def __init__(self, size: int, inner=Split) -> None:
        super().__init__()
        self.size, self.inner = size, inner()

    def forward(self, x):
        windows = x.unflatten(1, (-1, self.size)).flatten(0, 1)
        return self.inner(windows).unflatten(0, (len(x), -1)).flatten(1, 2)


class Masked(nn.Module):
    """Attention of all tokens that a mask restricts to windows."""

    def __init__(self, size: int, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = Split(self.kernel), kind
        self.q, self.k, self.v, self.o = (getattr(self.inner, n) for n in "qkvo")
        blocks = [torch.ones(size, size, dtype=torch.bool)] * (6 // size)
        self.register_buffer("mask", torch.block_diag(*blocks).bool())

    def kernel(self, q, k, v):
        if self.kind == "bool":
            return functional.scaled_dot_product_attention(q, k, v, self.mask)
        forbidden = torch.zeros(6, 6, dtype=q.dtype).masked_fill(~self.mask, -torch.inf)
        if self.kind == "float":
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=forbidden)
        weights = q @ k.mT / q.shape[-1] ** 0.5
        weights.masked_fill_(~self.mask, -torch.inf)
        return functional.dropout(functional.softmax(weights, dim=-1, dtype=torch.float64), 0.0) @ v

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["bool", "float", "in place"])
def test_windows_are_what_masks_make_of_them(size, kind):
    """Heads are counted by samples, not by windows."""
    batch = torch.randn(N, 6, 6, dtype=torch.float64), torch.arange(N) % 3
    masked = network(attention=partial(Masked, size, kind))
    windows = network(attention=partial(Windows, size))
    windows.load_state_dict({k: v for k, v in masked.state_dict().items() if "inner" in k or "attention" not in k})
    torch.testing.assert_close(masked(batch[0]), windows(batch[0]))
    assert scores(masked, batch) == pytest.approx(scores(windows, batch), rel=1e-9)


class Grouped(nn.Module):
    """Two heads that share keys and values; causal."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.q, self.kv, self.o = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q = Split.heads(self.q(x))
        k, v = (t[:, None] for t in self.kv(x).chunk(2, -1))
        if self.way == "grouped":
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        elif self.way == "repeated":
            k, v = k.repeat_interleave(HEADS, 1), v.repeat_interleave(HEADS, 1)
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = torch.matmul(q, k.mT).div_(2.0)
            scores = scores + torch.full((TOKENS, TOKENS), -torch.inf, dtype=x.dtype).triu(1)
            out = scores.softmax(-1) @ v
        return self.o(out.transpose(1, 2).flatten(2))


def test_shared_keys_and_causal_masks():
    first = network(attention=partial(Grouped, "grouped"))
    found = scores(first, patches())
    for way in ("repeated", "explicit"):
        other = network(attention=partial(Grouped, way))
        other.load_state_dict(first.state_dict())
        assert scores(other, patches()) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("weights", [False, True])
def test_encoders_of_torch(weights):
    """`nn.TransformerEncoderLayer`: what it computes, written out."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 12, 0.0, batch_first=True)
            self.embed, self.head = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3)

        def forward(self, x):
            x, layer = self.embed(x), self.layer
            if weights:
                x = layer.norm1(x + layer.self_attn(x, x, x)[0])
                return self.head(layer.norm2(x + layer.linear2(layer.linear1(x).relu())).mean(1))
            return self.head(layer(x).mean(1))

    module = Encoder().double()
    module.eval()
    found = scores(module, patches())
    matrices = [*module.layer.self_attn.in_proj_weight.chunk(3), module.layer.self_attn.out_proj.weight]
    functional.cross_entropy(module.train()(patches()[0]), patches()[1]).backward()
    gradients = [*module.layer.self_attn.in_proj_weight.grad.chunk(3), module.layer.self_attn.out_proj.weight.grad]
    expected = sum(nuclear(w) * nuclear(g) for w, g in zip(matrices, gradients, strict=True))
    assert found["synaptic_diversity"] == pytest.approx(expected, rel=1e-9)
    layers = (module.layer.linear1, module.layer.linear2)
    saliency = sum(float((m.weight * m.weight.grad).abs().sum().detach()) for m in layers)
    assert found["dss"] - expected == pytest.approx(saliency, rel=1e-9)


def test_shared_layers_count_once():
    module = network()
    module.attention[1], module.feed_forward[1] = module.attention[0], module.feed_forward[0]
    found = scores(module, patches())
    functional.cross_entropy(module(patches()[0]), patches()[1]).backward()
    layers = [getattr(module.attention[0], name) for name in "qkvo"]
    expected = sum(nuclear(layer.weight) * nuclear(layer.weight.grad) for layer in layers)
    assert found["synaptic_diversity"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shared", [False, True])
def test_queries_of_another_sequence(shared):
    """Learned queries, keys and values of the tokens; a weight of `nn.MultiheadAttention` that two calls share."""

    class Pool(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.queries = nn.Parameter(torch.randn(1, 2, WIDTH))
            self.embed, self.head = nn.Linear(6, WIDTH), nn.Linear(WIDTH, 3)
            self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

        def forward(self, x):
            x, q = self.embed(x), self.queries.expand(len(x), -1, -1)
            for _ in range(1 + shared):
                q = self.attention(q, x, x)[0]
            return self.head(q.mean(1))

    module = Pool().double()
    found = proxies.score(module, patches(), "synaptic_diversity")["synaptic_diversity"]
    functional.cross_entropy(module(patches()[0]), patches()[1]).backward()
    a = module.attention
    # Learned queries are no data, but their product with a weight of data is attention all the same.
    matrices, gradients = a.in_proj_weight.chunk(3), a.in_proj_weight.grad.chunk(3)
    expected = sum(nuclear(w) * nuclear(g) for w, g in zip(matrices, gradients, strict=True))
    expected += nuclear(a.out_proj.weight) * nuclear(a.out_proj.weight.grad)
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_output_matrix_of_heads_that_are_computed_one_by_one_is_found():
    class Looped(Split):
        def forward(self, x):
            heads = zip(*(self.heads(layer(x)).unbind(1) for layer in (self.q, self.k, self.v)), strict=True)
            return self.o(torch.cat([self.kernel(*head) for head in heads], -1))

    module, looped = network(), network(attention=Looped)
    looped.load_state_dict(module.state_dict())
    names = [name for name in NAMES if name not in ("synaptic_diversity", "dss")]
    assert scores(looped, patches(), names) == pytest.approx(scores(module, patches(), names), rel=1e-9)
    found = proxies.score(looped, patches(), "synaptic_diversity")["synaptic_diversity"]
    functional.cross_entropy(looped(patches()[0]), patches()[1]).backward()
    half = WIDTH // HEADS
    expected = sum(
        nuclear(weight[rows]) * nuclear(weight.grad[rows])
        for a in looped.attention
        for weight in (a.q.weight, a.k.weight, a.v.weight)
        for rows in (slice(half), slice(half, WIDTH))
    ) + sum(nuclear(a.o.weight) * nuclear(a.o.weight.grad) for a in looped.attention)
    assert found == pytest.approx(expected, rel=1e-9)


def test_frozen_weights_count_like_others():
    module = network()
    found = scores(module, patches(), NAMES[:-1])
    module.requires_grad_(False)
    module.head.requires_grad_(True)
    assert scores(module, patches(), NAMES[:-1]) == pytest.approx(found, rel=1e-12)


def test_what_a_module_does_in_place_changes_nothing():
    class InPlace(Split):
        def forward(self, x):
            out = self.kernel(*(self.heads(layer(x)) for layer in (self.q, self.k, self.v)))
            out *= 2
            return self.o(out.transpose(1, 2).flatten(2))

    class OutOfPlace(Split):
        def forward(self, x):
            out = self.kernel(*(self.heads(layer(x)) for layer in (self.q, self.k, self.v))) * 2
            return self.o(out.transpose(1, 2).flatten(2))

    module = network(attention=InPlace)
    relu = network(attention=OutOfPlace, feed_forward=partial(FeedForward, "relu_"))
    relu.load_state_dict(module.state_dict())
    other = network(attention=OutOfPlace, feed_forward=partial(FeedForward, "relu"))
    other.load_state_dict(module.state_dict())
    assert scores(relu, patches()) == scores(other, patches())
    other.feed_forward = module.feed_forward
    assert scores(module, patches()) == scores(other, patches())


def test_attention_without_a_graph_is_refused_alone():
    class Frozen(Split):
        def forward(self, x):
            with torch.no_grad():
                return super().forward(x)

    found = proxies.evaluate(network(attention=Frozen), patches(), [*NAMES, "grad_norm"])
    assert set(found.errors) == {"head_importance", "synaptic_diversity", "dss"}
    for problem in found.errors.values():
        assert isinstance(problem, UnsupportedModuleError)
        check(problem, lacks="gradients")


def test_attention_over_something_else_than_samples_is_refused_alone():
    class Across(nn.Module):
        """Attention between the samples, for each token."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = Split()

        def forward(self, x):
            return self.inner(x.transpose(0, 1)).transpose(0, 1)

    module = network(attention=Across)
    found = proxies.evaluate(module, patches(), [*NAMES, "grad_norm"])
    assert set(found.values) == {"grad_norm"}
    assert isinstance(found.errors["dss"], UnsupportedModuleError)
    check(found.errors["dss"], lacks="samples")
    assert found.values["grad_norm"] == proxies.score(module, patches(), "grad_norm")["grad_norm"]


def test_seen_together_or_alone_single_precision():
    module, batch = Transformer(words=True), sentences()
    together = scores(module, batch, [*NAMES, "grad_norm", "fisher"])
    for name in NAMES:
        assert scores(module, batch, [name])[name] == together[name]


class Kit(ProxyConformance):
    __test__ = False
    # test_equal_functions.py does these for all proxies at once.
    test_equal_functions_have_equal_scores = None
    test_composed_rewrites_keep_the_score = None
    test_does_not_depend_on_its_surroundings = None

    def networks(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = network().float()
        return {"split": module, "module": rewritten(module, Module), "without": nn.Sequential(module.embed)}

    def batch(self, samples=8):
        return patches(torch.float32, samples)


globals().update({f"Test_{name}": type(f"Test_{name}", (Kit,), {"proxy": name, "__test__": True}) for name in NAMES})
