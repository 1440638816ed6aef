"""One small transformer, written in many ways: the same weights, the same function."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

N, TOKENS, WIDTH, HEADS, HIDDEN, CLASSES, WORDS = 4, 5, 8, 2, 12, 3, 11


def fused(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v)


def explicit(q, k, v):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(dim=-1)
    return weights @ v


def flattened(q, k, v):
    """Samples and heads in one dimension, scores added to a mask, in place where one may."""
    n, h = q.shape[:2]
    q, k, v = (t.flatten(0, 1) for t in (q, k, v))
    mask = torch.zeros(q.shape[1], k.shape[1], dtype=q.dtype)
    scores = torch.baddbmm(mask, q / math.sqrt(q.shape[-1]), k.transpose(1, 2))
    scores += mask
    weights = functional.dropout(nn.Softmax(-1)(scores), 0.0)
    return torch.bmm(weights, v).unflatten(0, (n, h))


def einsum(q, k, v):
    """Heads behind the tokens, as many write it."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    return torch.einsum("bhqk,bkhd->bqhd", torch.softmax(scores, -1), v).transpose(1, 2)


def columns(q, k, v):
    """Values on the left: the weights are transposed, and tokens are the last dimension."""
    weights = torch.softmax(q.matmul(k.mT) * q.shape[-1] ** -0.5, dim=-1)
    return (v.mT @ weights.mT).mT


KERNELS = {f.__name__: f for f in (fused, explicit, flattened, einsum, columns)}


class Split(nn.Module):
    """Queries, keys and values by three layers."""

    def __init__(self, kernel=fused) -> None:
        super().__init__()
        self.kernel = kernel
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.o = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (self.heads(layer(x)) for layer in (self.q, self.k, self.v))
        return self.o(self.kernel(q, k, v).transpose(1, 2).flatten(2))

    @staticmethod
    def heads(x):
        return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


class Merged(nn.Module):
    """Queries, keys and values by one layer."""

    def __init__(self, kernel=fused, take="chunk") -> None:
        super().__init__()
        self.kernel, self.take = kernel, take
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        merged = self.qkv(x)
        if self.take == "chunk":
            q, k, v = (Split.heads(t) for t in merged.chunk(3, dim=-1))
        elif self.take == "index":
            q, k, v = (Split.heads(merged[..., i * WIDTH : (i + 1) * WIDTH]) for i in range(3))
        else:
            q, k, v = merged.reshape(len(x), -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        return self.o(self.kernel(q, k, v).transpose(1, 2).reshape(len(x), -1, WIDTH))


class Module(nn.Module):
    """By `nn.MultiheadAttention`."""

    def __init__(self, weights=False) -> None:
        super().__init__()
        self.weights = weights
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=self.weights)[0]


class Bare(nn.Module):
    """Matrices without modules: products of data with parameters."""

    def __init__(self, way="matmul") -> None:
        super().__init__()
        self.way = way
        self.w = nn.ParameterList(nn.Parameter(torch.empty(WIDTH, WIDTH)) for _ in range(4))
        self.b = nn.ParameterList(nn.Parameter(torch.empty(WIDTH)) for _ in range(4))

    def times(self, x, i):
        w, b = self.w[i], self.b[i]
        if self.way == "matmul":
            return x @ w.t() + b
        if self.way == "addmm":
            return torch.addmm(b, x.reshape(-1, WIDTH), w.t()).reshape(x.shape)
        if self.way == "weight first":
            return (w @ x.mT).mT + b
        if self.way == "tensordot":
            return torch.tensordot(x, w, dims=([2], [1])) + b
        if self.way == "halves":
            return torch.cat([functional.linear(half, w, b) for half in x.chunk(2)])
        if self.way == "einsum":
            return torch.einsum("...i,oi->...o", x, w) + b
        return functional.conv1d(x.transpose(1, 2), w[..., None], b).transpose(1, 2)

    def forward(self, x):
        q, k, v = (Split.heads(self.times(x, i)) for i in range(3))
        return self.times(explicit(q, k, v).transpose(1, 2).flatten(2), 3)


class FeedForward(nn.Module):
    def __init__(self, activation="gelu") -> None:
        super().__init__()
        self.a, self.b = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.activation = getattr(functional, activation)

    def forward(self, x):
        return self.b(functional.dropout(self.activation(self.a(x)), 0.0))


class Gated(nn.Module):
    """SwiGLU, by two layers or by one."""

    def __init__(self, merged=False) -> None:
        super().__init__()
        self.merged = merged
        self.b = nn.Linear(HIDDEN, WIDTH)
        if merged:
            self.both = nn.Linear(WIDTH, 2 * HIDDEN)
        else:
            self.gate, self.up = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN)

    def forward(self, x):
        gate, up = self.both(x).chunk(2, -1) if self.merged else (self.gate(x), self.up(x))
        return self.b(functional.silu(gate) * up)


class Transformer(nn.Module):
    """Two blocks, on patches of images or on words."""

    def __init__(self, attention=Split, feed_forward=FeedForward, words=False) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH) if words else nn.Linear(6, WIDTH)
        self.attention = nn.ModuleList(attention() for _ in range(2))
        self.feed_forward = nn.ModuleList(feed_forward() for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(4))
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES))

    def forward(self, x):
        x = self.embed(x)
        for i, (attention, feed_forward) in enumerate(zip(self.attention, self.feed_forward, strict=True)):
            x = x + attention(self.norms[2 * i](x))
            x = x + feed_forward(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


def parts(attention):
    """The weights and biases of queries, keys, values and output, however they are kept."""
    if isinstance(attention, Split):
        return [(layer.weight, layer.bias) for layer in (attention.q, attention.k, attention.v, attention.o)]
    if isinstance(attention, Merged):
        merged = zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
        return [*merged, (attention.o.weight, attention.o.bias)]
    if isinstance(attention, Module):
        a = attention.attention
        merged = zip(a.in_proj_weight.chunk(3), a.in_proj_bias.chunk(3), strict=True)
        return [*merged, (a.out_proj.weight, a.out_proj.bias)]
    return list(zip(attention.w, attention.b, strict=True))


def rewritten(network, attention=Split, feed_forward=FeedForward):
    """The same function, with attention (and gated feed-forward layers) written in another way."""
    words = isinstance(network.embed, nn.Embedding)
    other = Transformer(attention, feed_forward, words=words).to(network.head[0].weight.dtype)
    with torch.no_grad():
        state = {k: v for k, v in network.state_dict().items() if not k.startswith(("attention.", "feed_forward."))}
        other.load_state_dict(state, strict=False)
        for a, b in zip(network.attention, other.attention, strict=True):
            for source, target in zip(parts(a), parts(b), strict=True):
                for s, t in zip(source, target, strict=True):
                    t.copy_(s)
        for a, b in zip(network.feed_forward, other.feed_forward, strict=True):
            if isinstance(b, Gated) and b.merged:
                b.b.load_state_dict(a.b.state_dict())
                b.both.weight.copy_(torch.cat((a.gate.weight, a.up.weight)))
                b.both.bias.copy_(torch.cat((a.gate.bias, a.up.bias)))
            else:
                b.load_state_dict(a.state_dict())
    return other


def patches(dtype=torch.float64, n=N, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, TOKENS, 6, generator=generator, dtype=torch.float64).to(dtype), torch.arange(n) % CLASSES


def sentences(n=N, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, WORDS, (n, TOKENS), generator=generator), torch.arange(n) % CLASSES
