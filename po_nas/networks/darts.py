"""The networks of DARTS: a stem for CIFAR or ImageNet, cells, an auxiliary head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from po_nas.errors import ConfigError
from po_nas.networks.base import Networks, known, positive
from po_nas.networks.layers import FactorizedReduce, relu_conv_bn
from po_nas.spaces.base import Architecture
from po_nas.spaces.darts import DARTSSpace, Node
from proxies.blocks import block

__all__ = ["NETWORKS", "DARTSNetwork", "DropPath", "operation"]


class DropPath(nn.Module):
    """Drop the whole map of each image with `probability` in training, and scale up the others: (b, c, h, w) as is.

    Like dropout it draws from the default generator of the device.
    """

    def __init__(self, probability: float = 0.0) -> None:
        super().__init__()
        self._keep: Tensor
        # A number would be a constant of a compiled network, which a schedule would compile anew in every epoch.
        self.register_buffer("_keep", torch.ones(()), persistent=False)
        self.probability = probability

    @property
    def probability(self) -> float:
        """The probability of dropping a map, 0 to below 1."""
        return self._probability

    @probability.setter
    def probability(self, value: float) -> None:
        self._probability, self._active = value, value > 0
        self._keep.fill_(1 - value)

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self._active):
            return x
        kept = torch.bernoulli(self._keep.expand(len(x), 1, 1, 1))
        return x * (kept / self._keep).to(x.dtype)

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"probability={self.probability}"


def operation(name: str, channels: int, stride: int, affine: bool) -> nn.Module:
    """The operation `name` of the space, (b, c, h, w) to (b, c, ⌈h / stride⌉, ⌈w / stride⌉).

    Unless `affine`, batch normalisations have no parameters and pooling is followed by one, as in DARTS' search phase.
    """
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name.endswith("pool_3x3"):
        pool: nn.Module = (
            nn.MaxPool2d(3, stride, 1) if name[0] == "m" else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        )
        return pool if affine else nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))
    kernel = int(name[-1])
    if name.startswith("dil_conv"):
        return nn.Sequential(*_separable(channels, kernel, stride, affine, dilation=2))
    return nn.Sequential(*_separable(channels, kernel, stride, affine), *_separable(channels, kernel, 1, affine))


def _separable(channels: int, kernel: int, stride: int, affine: bool, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


_OWN = {"cifar": (36, 20, 10), "imagenet": (48, 14, 1000)}
"""Channels, cells and classes of the published networks, by stem."""


class DARTSNetwork(nn.Module):
    """Stem, normal cells with a reduction cell after one and two thirds of the way, classifier.

    Images (b, in_channels, h, w) to logits (b, num_classes). With the ``cifar`` `stem` (3 x `channels` wide) published
    networks have 36 channels, 20 cells and 10 classes on 32 x 32 images; with the ``imagenet`` stem, which divides the
    resolution by eight, 48, 14 and 1,000 on 224 x 224. Options left out are the published ones of the stem.
    NAS-Bench-301's networks have 32 channels and 8 cells; the sizes that NAS-Bench-Suite-Zero lists for them are those
    without `affine`: the operations as in DARTS' search phase, where batch normalisation has no parameters and also
    follows pooling.

    `auxiliary` adds the head after the second reduction cell that training uses: in training mode the network then
    returns the pair (logits, auxiliary logits). It needs images of the published size or larger.
    `drop_path` is the probability with which training drops the results of operations other than the identity, for each
    image anew; `set_drop_path` changes it later, as schedules do. Initial weights are torch's defaults.

    References: Liu, Simonyan and Yang, DARTS, ICLR 2019, arXiv 1806.09055.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        stem: str = "cifar",
        num_classes: int | None = None,
        in_channels: int = 3,
        channels: int | None = None,
        cells: int | None = None,
        auxiliary: bool = False,
        drop_path: float = 0.0,
        affine: bool = True,
    ) -> None:
        known("stem of darts networks", stem, tuple(_OWN))
        own = _OWN[stem]
        width = own[0] if channels is None else channels
        cells = own[1] if cells is None else cells
        num_classes = own[2] if num_classes is None else num_classes
        positive(channels=width, cells=cells, num_classes=num_classes, in_channels=in_channels)
        super().__init__()
        if stem == "cifar":
            wide = (3 * width, 3 * width)
            convolution = nn.Conv2d(in_channels, 3 * width, 3, padding=1, bias=False)
            self.stem = nn.ModuleList([block(nn.Sequential(convolution, nn.BatchNorm2d(3 * width))), nn.Identity()])
        else:
            wide = (width, width)
            first = nn.Conv2d(in_channels, width // 2, 3, 2, 1, bias=False)
            half = block(nn.Sequential(first, nn.BatchNorm2d(width // 2)))
            quarter = nn.Sequential(half, block(relu_conv_bn(width // 2, width, 3, 2)))
            self.stem = nn.ModuleList([quarter, block(relu_conv_bn(width, width, 3, 2))])
        reductions = (cells // 3, 2 * cells // 3)
        self.cells = nn.ModuleList()
        # The second stem of ImageNet halves the resolution, so the first cell's older input is twice as large.
        after_reduction = stem == "imagenet"
        self.auxiliary: nn.Module | None = None
        for k in range(cells):
            reduces = k in reductions
            width *= 2 if reduces else 1
            cell = _Cell(architecture.code[int(reduces)], wide, width, reduces, after_reduction, affine)
            self.cells.append(block(cell))
            wide, after_reduction = (wide[1], 4 * width), reduces
            if auxiliary and k == reductions[1]:
                self.auxiliary = _auxiliary(4 * width, num_classes, stem)
        self.auxiliary_after = reductions[1]
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(wide[1], num_classes)
        self.set_drop_path(drop_path)

    def set_drop_path(self, probability: float) -> None:
        """Change the probability of dropping a path, 0 to below 1."""
        if not 0 <= probability < 1:
            raise ConfigError("drop_path", probability, "must be at least 0 and below 1")
        for module in self.modules():
            if isinstance(module, DropPath):
                module.probability = probability

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits of images; with an auxiliary head and in training mode also its logits."""
        older = self.stem[0](x)
        newer = self.stem[1](older)
        side = None
        for k, cell in enumerate(self.cells):
            older, newer = newer, cell(older, newer)
            if k == self.auxiliary_after and self.auxiliary is not None and self.training:
                side = self.auxiliary(newer)
        logits: Tensor = self.classifier(self.pool(newer).flatten(1))
        return logits if side is None else (logits, side)


class _Cell(nn.Module):
    """Two maps (b, c, h, w) to (b, 4 · width, h', w'): four nodes, each the sum of two operations, concatenated."""

    def __init__(
        self,
        nodes: tuple[Node, ...],
        wide: tuple[int, int],
        width: int,
        reduces: bool,
        after_reduction: bool,
        affine: bool,
    ) -> None:
        super().__init__()
        older = FactorizedReduce(wide[0], width) if after_reduction else relu_conv_bn(wide[0], width, 1)
        self.inputs = nn.ModuleList([older, relu_conv_bn(wide[1], width, 1)])
        self.sources = tuple(tuple(source for source, _ in node) for node in nodes)
        self.operations = nn.ModuleList()
        for node in nodes:
            for source, code in node:
                # Only the cell's inputs still have the larger resolution.
                stride = 2 if reduces and source < 2 else 1
                made = operation(DARTSSpace.operations[code], width, stride, affine)
                self.operations.append(made if isinstance(made, nn.Identity) else nn.Sequential(made, DropPath()))

    def forward(self, older: Tensor, newer: Tensor) -> Tensor:
        states = [self.inputs[0](older), self.inputs[1](newer)]
        operations = iter(self.operations)
        for first, second in self.sources:
            states.append(next(operations)(states[first]) + next(operations)(states[second]))
        return torch.cat(states[2:], dim=1)


def _auxiliary(channels: int, num_classes: int, stem: str) -> nn.Sequential:
    """The published head for maps of 8 x 8 (CIFAR) or 7 x 7 (ImageNet); ImageNet's lacks the last normalisation."""
    last = [nn.BatchNorm2d(768)] if stem == "cifar" else []
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, 3 if stem == "cifar" else 2, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *last,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(768, num_classes),
    )


_AUXILIARY = {"cifar": 32, "imagenet": 224}
"""Smallest images that the auxiliary head takes, by stem."""


def _smallest(options: Mapping[str, Any]) -> int:
    return _AUXILIARY.get(options.get("stem") or "cifar", 1) if options.get("auxiliary") else 1


NETWORKS = Networks(DARTSNetwork, smallest=_smallest)
