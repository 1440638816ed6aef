"""The networks of NAS-Bench-MR: parallel branches at several resolutions, fused again and again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from po_nas.errors import ConfigError
from po_nas.networks.base import Networks, known, positive
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench_mr import stages
from proxies.blocks import block

__all__ = ["NETWORKS", "NASBenchMRNetwork"]

_TASKS = ("classification", "segmentation")
_STEP = 8
"""All channels of the space are multiples of it."""


class NASBenchMRNetwork(nn.Module):
    """Stem, the modules of four stages, head: images (b, in_channels, h, w) to logits.

    Branch j of a stage works at h / (4 · 2^j). A module fuses branches of neighbouring resolutions, then sends each
    through residual blocks. The head of `task` ``classification`` brings all branches to the smallest resolution and
    gives logits (b, num_classes); that of ``segmentation`` brings them to the largest, logits (b, num_classes, h / 4,
    w / 4). The sizes that the benchmark recorded are those of classification with 50 classes, whatever its task.

    Convolutions have no bias but the last; initial weights are He's, normal, by the outputs. `channel_divisor`, 1, 2, 4
    or 8, makes networks narrower than those of the benchmark.

    References: Ding et al., Learning Versatile Neural Architectures by Propagating Network Codes, ICLR 2022, arXiv
    2103.13253.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 50,
        in_channels: int = 3,
        task: str = "classification",
        channel_divisor: int = 1,
    ) -> None:
        positive(num_classes=num_classes, in_channels=in_channels)
        known("task of NAS-Bench-MR networks", task, _TASKS)
        if type(channel_divisor) is not int or channel_divisor not in (1, 2, 4, _STEP):
            raise ConfigError("channel_divisor", channel_divisor, "must be 1, 2, 4 or 8")
        super().__init__()
        code = architecture.code
        first, second, last = (code[k] // channel_divisor for k in (0, 1, -1))
        self.task = task
        self.stem = nn.Sequential(
            block(_convolution(3, in_channels, first, stride=2)), block(_convolution(3, first, second, stride=2))
        )
        widths: tuple[int, ...] = (second,)
        body = []
        for modules, blocks, channels in stages(code):
            narrower = tuple(width // channel_divisor for width in channels)
            for _ in range(modules):
                body.append(_Module(widths, narrower, blocks))
                widths = narrower
        self.body = nn.Sequential(*body)
        self.head = _convolution(1, sum(widths), last)
        self.pool = nn.AdaptiveAvgPool2d(1)
        dense = task == "segmentation"
        self.classifier: nn.Module = nn.Conv2d(last, num_classes, 1) if dense else nn.Linear(last, num_classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (b, in_channels, h, w)."""
        branches: list[Tensor] = self.body([self.stem(x)])
        dense = self.task == "segmentation"
        size = branches[0 if dense else -1].shape[-2:]
        joined: Tensor = self.head(torch.cat([_resized(branch, size) for branch in branches], dim=1))
        logits: Tensor = self.classifier(joined if dense else self.pool(joined).flatten(1))
        return logits


def _convolution(kernel: int, inputs: int, outputs: int, stride: int = 1, active: bool = True) -> nn.Sequential:
    """Convolution without bias, batch normalisation, and ReLU where `active`."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if active else []))


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resizing to a height and width."""
    if x.shape[-2:] == torch.Size(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class _ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity, summed, ReLU: (b, c, h, w) as is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(3, channels, channels)
        self.second = _convolution(3, channels, channels, active=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.relu(self.second(self.first(x)) + x)
        return result


class _Fusion(nn.Module):
    """Branches of some resolutions to as many, or one more at half the smallest, each from those beside it."""

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        super().__init__()
        self.same, self.down, self.up = nn.ModuleList(), nn.ModuleDict(), nn.ModuleDict()
        self.relus = nn.ModuleList()
        for i, width in enumerate(after[: len(before)]):
            self.same.append(_convolution(3, before[i], width))
            if i:
                self.down[str(i)] = _convolution(3, before[i - 1], width, stride=2)
            if i + 1 < len(before):
                self.up[str(i)] = _convolution(1, before[i + 1], width)
            self.relus.append(nn.ReLU())
        self.new = _convolution(3, after[-2], after[-1], stride=2) if len(after) > len(before) else None

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        found = []
        for i, x in enumerate(branches):
            total = self.same[i](x)
            if str(i) in self.down:
                total = total + self.down[str(i)](branches[i - 1])
            if str(i) in self.up:
                coarse = functional.interpolate(self.up[str(i)](branches[i + 1]), scale_factor=2, mode="nearest")
                total = total + _resized(coarse, total.shape[-2:])
            found.append(self.relus[i](total))
        if self.new is not None:
            found.append(self.new(found[-1]))
        return found


class _Module(nn.Module):
    """Fusion, then residual blocks on each branch."""

    def __init__(self, before: tuple[int, ...], after: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.fusion = _Fusion(before, after)
        self.branches = nn.ModuleList(
            block(nn.Sequential(*(_ResidualBlock(width) for _ in range(count))))
            for width, count in zip(after, blocks, strict=True)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        return [branch(x) for branch, x in zip(self.branches, self.fusion(branches), strict=True)]


NETWORKS = Networks(NASBenchMRNetwork, smallest=lambda options: 8)
