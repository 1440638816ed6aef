"""The networks of HW-GPT-Bench: decoder-only transformers with rotary positions and parallel residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from po_nas import spaces
from po_nas.errors import ConfigError
from po_nas.networks.base import Networks, positive
from po_nas.spaces.base import Architecture
from po_nas.spaces.hwgpt import CONTEXT, HEAD_SIZE, VOCABULARY
from proxies.batch import Batch
from proxies.synthetic_tokens import synthetic_tokens

__all__ = ["NETWORKS", "HWGPTNetwork"]

_ROTATED = HEAD_SIZE // 2
"""Features of a head that positions rotate."""
_BASE = 10_000.0
_DEVIATION = 0.02


class HWGPTNetwork(nn.Module):
    """Words (b, t), numbers below `vocabulary`, to logits of the next word (b, vocabulary, t), t up to `context`.

    Attention and feed-forward layer of a block both see the block's input, each behind a layer normalisation of its
    own, and are added to it. The matrices of the embedding and of the output are two.

    The benchmark's numbers of parameters count a feed-forward layer with three matrices, as one that is gated has
    (`gated`, the default: SiLU of one product times another), although its configurations name the one with two (GELU).
    With biases the gated network has exactly the parameters that the benchmark counts; biases are left out where the
    architecture says so.

    Initial weights are normal with a standard deviation of 0.02, biases zero.

    References: Sukthanker et al., HW-GPT-Bench, NeurIPS 2024 Datasets and Benchmarks, arXiv 2405.10299; Su et al.,
    RoFormer, arXiv 2104.09864 (rotary positions).
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        vocabulary: int = VOCABULARY,
        context: int = CONTEXT,
        gated: bool = True,
    ) -> None:
        positive(vocabulary=vocabulary, context=context)
        super().__init__()
        config = spaces.get(architecture.space).config_of(architecture)
        width, bias = config["embedding"], config["bias"]
        self.context = context
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            _Block(width, heads, ratio * width, bias, gated)
            for heads, ratio in zip(config["heads"], config["mlp_ratio"], strict=True)
        )
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, vocabulary, bias=False)
        angles = torch.outer(torch.arange(context), _BASE ** (-torch.arange(0, _ROTATED, 2) / _ROTATED)).repeat(1, 2)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=_DEVIATION)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)

    def forward(self, words: Tensor) -> Tensor:
        """Logits (b, vocabulary, t) of words (b, t)."""
        count = words.shape[1]
        if count > self.context:
            raise ConfigError("words", tuple(words.shape), f"networks see at most {self.context} words")
        cosines, sines = (table[:count] for table in (self.get_buffer("cosines"), self.get_buffer("sines")))
        x = self.embed(words)
        for block in self.blocks:
            x = block(x, cosines, sines)
        logits: Tensor = self.out(self.norm(x))
        return logits.transpose(1, 2)


class _Attention(nn.Module):
    """Causal attention of heads with 64 features: (b, t, width) as is."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * HEAD_SIZE * heads, bias=bias)
        self.out = nn.Linear(HEAD_SIZE * heads, width, bias=bias)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        split = self.qkv(x).unflatten(-1, (3, self.heads, HEAD_SIZE)).permute(2, 0, 3, 1, 4)
        q, k, v = split.unbind(0)
        q, k = _rotated(q, cosines, sines), _rotated(k, cosines, sines)
        heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        result: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return result


def _rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """The first half of the features of each head turned by an angle that grows with the position."""
    turned, rest = x[..., :_ROTATED], x[..., _ROTATED:]
    first, second = turned.chunk(2, dim=-1)
    turned = turned * cosines + torch.cat([-second, first], dim=-1) * sines
    return torch.cat([turned, rest], dim=-1)


class _FeedForward(nn.Module):
    """SiLU of a product times another, or GELU of one, and a matrix back: (b, t, width) as is."""

    def __init__(self, width: int, hidden: int, bias: bool, gated: bool) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden, bias=bias)
        self.gate = nn.Linear(width, hidden, bias=bias) if gated else None
        self.activation = nn.SiLU() if gated else nn.GELU()
        self.last = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.first(x))
        result: Tensor = self.last(hidden if self.gate is None else hidden * self.gate(x))
        return result


class _Block(nn.Module):
    """Attention and feed-forward layer side by side."""

    def __init__(self, width: int, heads: int, hidden: int, bias: bool, gated: bool) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads, bias)
        self.feed_forward = _FeedForward(width, hidden, bias, gated)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        attended = self.attention(self.first_norm(x), cosines, sines)
        result: Tensor = x + attended + self.feed_forward(self.second_norm(x))
        return result


def _words(
    samples: int, seed: int, *, tokens: int = 64, vocabulary: int = VOCABULARY
) -> tuple[Mapping[str, Any], Batch]:
    return {"vocabulary": vocabulary}, synthetic_tokens(samples, tokens, vocabulary, seed=seed)


NETWORKS = Networks(HWGPTNetwork, _words)
