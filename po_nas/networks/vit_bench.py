"""The networks of ViT-Bench-101: vision transformers of one resolution, and of three with pooling between."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from po_nas import spaces
from po_nas.errors import ConfigError
from po_nas.networks.base import Networks, positive
from po_nas.spaces.base import Architecture
from po_nas.spaces.vit_bench import stages_of
from proxies.batch import Batch
from proxies.synthetic import synthetic_images

__all__ = ["AUTOFORMER_NETWORKS", "PIT_NETWORKS", "AutoFormerNetwork", "PiTNetwork"]

_DEVIATION = 0.02
_PATCHES = 14
"""Patches beside each other in the benchmark's images of 224 pixels."""


class _Attention(nn.Module):
    """Attention between all tokens: (b, t, width) as is; heads split the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        heads = functional.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return result


class _Block(nn.Module):
    """Attention, then a feed-forward layer, each behind a layer normalisation and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first_norm(x))
        result: Tensor = x + self.feed_forward(self.second_norm(x))
        return result


def _initialise(network: nn.Module) -> None:
    """Weights of matrices normal, cut off at two units, with a standard deviation of 0.02; biases zero."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=_DEVIATION)
            nn.init.zeros_(part.bias)


def _learned(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=_DEVIATION))


def _patch(image_size: int, patch: int | None, **others: int) -> int:
    """Pixels of a patch, by default a fourteenth of the image; `ConfigError` for sizes that do not fit."""
    positive(image_size=image_size, patch=1 if patch is None else patch, **others)
    found = max(image_size // _PATCHES, 1) if patch is None else patch
    if image_size < found:
        raise ConfigError("image_size", image_size, f"must be at least that of a patch, {found} pixels")
    return found


class AutoFormerNetwork(nn.Module):
    """A vision transformer of AutoFormer's kind: images (b, in_channels, image_size, image_size) to logits.

    Patches of `patch` pixels without overlap (default: a fourteenth of the image, 16 in the benchmark), a class token,
    learned positions, blocks with heads and an MLP ratio each, logits (b, num_classes) from the class token. Heads
    split the width, so that their number changes no number of parameters.

    References: Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059; Chen et al., AutoFormer, ICCV 2021, arXiv
    2107.00651.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 100,
        in_channels: int = 3,
        image_size: int = 224,
        patch: int | None = None,
    ) -> None:
        patch = _patch(image_size, patch, num_classes=num_classes, in_channels=in_channels)
        super().__init__()
        config = spaces.get(architecture.space).config_of(architecture)
        width = config["width"]
        self.patches = nn.Conv2d(in_channels, width, patch, patch)
        self.token = _learned(1, 1, width)
        self.places = _learned(1, (image_size // patch) ** 2 + 1, width)
        self.blocks = nn.Sequential(
            *(
                _Block(width, heads, int(width * ratio))
                for heads, ratio in zip(config["heads"], config["mlp_ratio"], strict=True)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, num_classes)."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1) + self.places
        logits: Tensor = self.classifier(self.norm(self.blocks(tokens))[:, 0])
        return logits


class _Pooling(nn.Module):
    """Half the resolution by a strided depth-wise convolution; the class token by a linear layer."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, 2, 1, groups=before)
        self.token = nn.Linear(before, after)

    def forward(self, tokens: Tensor, size: int) -> tuple[Tensor, int]:
        grid = tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, size, size)
        pooled = self.convolution(grid).flatten(2).transpose(1, 2)
        return torch.cat([self.token(tokens[:, :1]), pooled], dim=1), -(-size // 2)


class PiTNetwork(nn.Module):
    """A pooling-based vision transformer: images (b, in_channels, image_size, image_size) to logits (b, num_classes).

    Patches of `patch` pixels that overlap by half (default: a fourteenth of the image, 16 in the benchmark), learned
    positions, a class token, three stages of blocks; between them the resolution is halved and the width may grow.
    Logits come from the class token.

    References: Wei et al., Auto-Prox, AAAI 2024, arXiv 2312.09059; Heo et al., Rethinking Spatial Dimensions of Vision
    Transformers, ICCV 2021, arXiv 2103.16302.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 100,
        in_channels: int = 3,
        image_size: int = 224,
        patch: int | None = None,
    ) -> None:
        patch = _patch(image_size, patch, num_classes=num_classes, in_channels=in_channels)
        super().__init__()
        config = spaces.get(architecture.space).config_of(architecture)
        heads = stages_of(config["heads"])
        widths = [config["head_size"] * count for count in heads]
        stride = max(patch // 2, 1)
        self.size = (image_size - patch) // stride + 1
        self.patches = nn.Conv2d(in_channels, widths[0], patch, stride)
        self.places = _learned(1, widths[0], self.size, self.size)
        self.token = _learned(1, 1, widths[0])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width, count, int(width * config["mlp_ratio"])) for _ in range(layers)))
            for width, count, layers in zip(widths, heads, stages_of(config["layers"]), strict=True)
        )
        self.pools = nn.ModuleList(_Pooling(*pair) for pair in itertools.pairwise(widths))
        self.norm = nn.LayerNorm(widths[-1])
        self.classifier = nn.Linear(widths[-1], num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (b, num_classes)."""
        tokens = (self.patches(images) + self.places).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)
        size = self.size
        for number, stage in enumerate(self.stages):
            if number:
                tokens, size = self.pools[number - 1](tokens, size)
            tokens = stage(tokens)
        logits: Tensor = self.classifier(self.norm(tokens[:, 0]))
        return logits


def _images(samples: int, seed: int, *, num_classes: int = 100, size: int = 224) -> tuple[Mapping[str, Any], Batch]:
    options = {"num_classes": num_classes, "image_size": size}
    return options, synthetic_images(samples, num_classes, size, seed=seed)


AUTOFORMER_NETWORKS = Networks(AutoFormerNetwork, _images)
PIT_NETWORKS = Networks(PiTNetwork, _images)
