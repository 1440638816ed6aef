"""The networks of NAS-Bench-BERT: encoders of text whose layers mix tokens in six ways."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from po_nas import spaces
from po_nas.errors import ConfigError
from po_nas.networks.base import Networks, positive
from po_nas.spaces.base import Architecture
from proxies.batch import Batch
from proxies.synthetic_tokens import synthetic_tokens

__all__ = ["NETWORKS", "NASBenchBERTNetwork"]

_EMBEDDING = 128
_SEGMENTS = 2
_DEVIATION = 0.02


class NASBenchBERTNetwork(nn.Module):
    """Words (b, t), numbers below `vocabulary`, to logits (b, num_classes) from the first; t up to `context`.

    Embeddings of words, places and segments (all words are of the first), a linear layer to the width where it is
    another, layers, a linear classifier. A layer mixes tokens, then sends each through a feed-forward part; both are
    added to their input and normalised, but the sum after a DFT or DCT is not.

    The benchmark recorded parameters of networks of width 256 and feed-forward width 1,024, whatever the architecture
    says, and without classifier; those are reproduced exactly, which fixes the layers. What no number tells follows the
    papers: transforms and convolutions work on each head's features apart; GELU. `first_feed_forward` is the width of
    the first hidden layer of feed-forward parts, which is no choice of the space; it is not known for width 128.

    Initial weights are normal with a standard deviation of 0.02, biases zero.

    References: Serianni and Kalita, Training-free Neural Architecture Search for RNNs and Transformers, ACL 2023, arXiv
    2306.00288; Tuli et al., FlexiBERT, arXiv 2205.11656; Jiang et al., ConvBERT, NeurIPS 2020, arXiv 2008.02496 (span
    convolutions); Lee-Thorp et al., FNet, NAACL 2022, arXiv 2105.03824 (transforms).
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 2,
        vocabulary: int = 30_522,
        context: int = 512,
        first_feed_forward: int = 1_024,
    ) -> None:
        positive(num_classes=num_classes, vocabulary=vocabulary, context=context, first_feed_forward=first_feed_forward)
        super().__init__()
        config = spaces.get(architecture.space).config_of(architecture)
        width = config["width"]
        self.context = context
        self.words = nn.Embedding(vocabulary, _EMBEDDING)
        self.places = nn.Embedding(context, _EMBEDDING)
        self.segments = nn.Embedding(_SEGMENTS, _EMBEDDING)
        self.norm = nn.LayerNorm(_EMBEDDING)
        self.widen = nn.Linear(_EMBEDDING, width) if width != _EMBEDDING else nn.Identity()
        keys = ("operation", "heads", "feed_forward", "feed_forwards")
        self.layers = nn.Sequential(
            *(_Layer(width, first_feed_forward, *chosen) for chosen in zip(*(config[k] for k in keys), strict=True))
        )
        self.classifier = nn.Linear(width, num_classes)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding | nn.Conv1d):
                nn.init.normal_(part.weight, std=_DEVIATION)
            if isinstance(part, nn.Linear | nn.Conv1d) and part.bias is not None:
                nn.init.zeros_(part.bias)

    def forward(self, words: Tensor) -> Tensor:
        """Logits (b, num_classes) of words (b, t)."""
        count = words.shape[1]
        if count > self.context:
            raise ConfigError("words", tuple(words.shape), f"networks see at most {self.context} words")
        segments = self.segments.weight[0]
        x = self.norm(self.words(words) + self.places.weight[:count] + segments)
        logits: Tensor = self.classifier(self.layers(self.widen(x))[:, 0])
        return logits


class _Layer(nn.Module):
    """One layer: (b, t, width) as is."""

    def __init__(
        self, width: int, first: int, operation: str, heads: int, feed_forward: int, feed_forwards: int
    ) -> None:
        super().__init__()
        self.mix: nn.Module
        if operation in ("SDP", "WMA"):
            self.mix = _Attention(width, heads, weighted=operation == "WMA")
        elif operation in ("DFT", "DCT"):
            self.mix = _Transform(heads, cosine=operation == "DCT")
        else:
            self.mix = _SpanConvolution(width, heads, int(operation.removeprefix("DSC")))
        self.out = nn.Linear(width, width)
        self.first_norm = nn.Identity() if operation in ("DFT", "DCT") else nn.LayerNorm(width)
        widths = [width, first, *[feed_forward] * (feed_forwards - 1)]
        hidden: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            hidden += [nn.Linear(before, after), nn.GELU()]
        self.feed_forward = nn.Sequential(*hidden, nn.Linear(widths[-1], width))
        self.second_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(x + self.out(self.mix(x)))
        result: Tensor = self.second_norm(x + self.feed_forward(x))
        return result


def _split(x: Tensor, heads: int) -> Tensor:
    """(b, t, width) to (b, heads, t, width / heads)."""
    b, t, width = x.shape
    return x.reshape(b, t, heads, width // heads).transpose(1, 2)


class _Attention(nn.Module):
    """Self-attention of some heads, with a matrix between queries and keys where `weighted`."""

    def __init__(self, width: int, heads: int, weighted: bool = False, outputs: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, outputs or width) for _ in range(3))
        self.between = nn.Linear(width, width, bias=False) if weighted else None

    def forward(self, x: Tensor) -> Tensor:
        queries = self.q(x)
        if self.between is not None:
            queries = self.between(queries)
        q, k, v = (_split(part, self.heads) for part in (queries, self.k(x), self.v(x)))
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class _Transform(nn.Module):
    """A discrete transform over tokens and over the features of each head: no parameters."""

    def __init__(self, heads: int, cosine: bool) -> None:
        super().__init__()
        self.heads, self.cosine = heads, cosine

    def forward(self, x: Tensor) -> Tensor:
        split = _split(x, self.heads)
        if self.cosine:
            tokens, features = (_cosines(split.shape[d], split) for d in (-2, -1))
            found = tokens @ split @ features.T
        else:
            # The real part of the transform over both, from those over each.
            angles = [_angles(split.shape[d], split) for d in (-2, -1)]
            found = angles[0].cos() @ split @ angles[1].cos() - angles[0].sin() @ split @ angles[1].sin()
        return found.transpose(1, 2).flatten(2)


def _angles(count: int, like: Tensor) -> Tensor:
    """2 pi j k / n, (n, n)."""
    steps = torch.arange(count, device=like.device)
    return (torch.outer(steps, steps) % count).to(like.dtype) * (2 * math.pi / count)


def _cosines(count: int, like: Tensor) -> Tensor:
    """The cosine transform (of type 2) as an orthogonal matrix (n, n)."""
    steps = torch.arange(count, device=like.device, dtype=like.dtype)
    matrix = torch.cos(math.pi / count * torch.outer(steps, steps + 0.5)) * math.sqrt(2 / count)
    scale = torch.ones(count, 1, device=like.device, dtype=like.dtype)
    scale[0] = math.sqrt(0.5)
    return matrix * scale


class _SpanConvolution(nn.Module):
    """Half of the heads attend, the others convolve with kernels made from the span of tokens around each."""

    def __init__(self, width: int, heads: int, kernel: int) -> None:
        super().__init__()
        half, self.heads, self.kernel = width // 2, heads // 2, kernel
        self.attention = _Attention(width, self.heads, outputs=half)
        self.depth = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.point = nn.Linear(width, half)
        self.kernels = nn.Linear(half, self.heads * kernel)
        self.values = nn.Linear(width, half)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        spans = self.point(self.depth(x.transpose(1, 2)).transpose(1, 2))
        kernels = self.kernels(spans * self.attention.q(x)).reshape(b, t, self.heads, 1, self.kernel).softmax(-1)
        padded = functional.pad(self.values(x), (0, 0, self.kernel // 2, self.kernel // 2))
        windows = padded.unfold(1, self.kernel, 1).reshape(b, t, self.heads, -1, self.kernel)
        convolved = (windows * kernels).sum(-1).flatten(2)
        return torch.cat([self.attention(x), convolved], dim=-1)


def _texts(
    samples: int, seed: int, *, num_classes: int = 2, tokens: int = 64, vocabulary: int = 30_522
) -> tuple[Mapping[str, Any], Batch]:
    options = {"num_classes": num_classes, "vocabulary": vocabulary}
    return options, synthetic_tokens(samples, tokens, vocabulary, num_classes, seed=seed)


NETWORKS = Networks(NASBenchBERTNetwork, _texts)
