"""The networks of TransNAS-Bench-101: an encoder of either space and the head of one of seven tasks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from po_nas.networks.base import Networks, known, positive
from po_nas.networks.layers import BasicBlock, EdgeCell, FactorizedReduce, relu_conv_bn
from po_nas.spaces.base import Architecture
from proxies.batch import Batch
from proxies.blocks import block
from proxies.synthetic import synthetic_images

__all__ = [
    "MACRO_NETWORKS",
    "MICRO_NETWORKS",
    "TASKS",
    "PooledLinear",
    "TransNASMacroNetwork",
    "TransNASMicroNetwork",
    "generative_decoder",
    "segmentation_decoder",
]

_WIDEST = 1024
_DEEPEST = 6
"""Upsampling layers of the deepest decoder: from 4 x 4 to 256 x 256."""

_GENERATIVE = (1024, 1024, 512, 512, 256, 128, 64, 64, 32, 32, 16, 32, 16)
"""Channels after each layer; layers 3, 5, 7, 9, 11 and 13 can double the resolution, the last ones do so first."""


class PooledLinear(nn.Module):
    """Mean over the map and a linear layer: (b, width, h, w) to (b, outputs)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.linear(self.pool(x).flatten(1))
        return values


def segmentation_decoder(width: int, num_classes: int, upsamplings: int) -> nn.Sequential:
    """Logits of every pixel: (b, width, h, w) to (b, num_classes, h · 2^k, w · 2^k) for k `upsamplings`, 1 to 6.

    1,024 channels at first, halved by each of six layers but the last; the last k of the six double the resolution.
    """
    layers = [_layer(width, _WIDEST, double=False)]
    channels = _WIDEST
    for k in range(_DEEPEST):
        outputs = channels if k == _DEEPEST - 1 else channels // 2
        layers.append(_layer(channels, outputs, double=k >= _DEEPEST - upsamplings))
        channels = outputs
    return nn.Sequential(*map(block, layers), block(nn.Conv2d(channels, num_classes, 3, padding=1)))


def generative_decoder(width: int, channels: int, upsamplings: int) -> nn.Sequential:
    """An image: (b, width, h, w) to (b, channels, h · 2^k, w · 2^k) in [-1, 1] for k `upsamplings`, 1 to 6."""
    layers = []
    for number, outputs in enumerate(_GENERATIVE, 1):
        can_double = number % 2 == 1 and number > 1
        layers.append(_layer(width, outputs, double=can_double and number >= 15 - 2 * upsamplings))
        width = outputs
    return nn.Sequential(*map(block, layers), block(nn.Conv2d(width, channels, 3, padding=1)), nn.Tanh())


def _layer(inputs: int, outputs: int, *, double: bool) -> nn.Sequential:
    convolution: nn.Module = (
        nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
        if double
        else nn.Conv2d(inputs, outputs, 3, padding=1)
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))


TASKS = {
    "class_scene": 47,
    "class_object": 75,
    "jigsaw": 1000,
    "room_layout": 9,
    "segmentsemantic": 17,
    "normal": 3,
    "autoencoder": 3,
}
"""The outputs of each task: classes, values of the room layout, or channels of the image that is made."""

_SKELETON = (4, 1, 4, 1, 4)
_DOUBLES, _HALVES = (2, 4), (3, 4)
_TILES = 9
_BLOCKS = 2


class _Network(nn.Module):
    """An encoder (b, in_channels, h, w) to (b, width, h / 2^k, w / 2^k), k = 2 + halvings, and a head."""

    def __init__(
        self,
        blocks: Iterator[nn.Module],
        task: str,
        num_classes: int | None,
        in_channels: int,
        channels: int,
        kinds: tuple[int, ...],
    ) -> None:
        known("task of TransNAS-Bench-101", task, tuple(TASKS))
        positive(channels=channels, in_channels=in_channels, num_classes=1 if num_classes is None else num_classes)
        super().__init__()
        self.tiles = _TILES if task == "jigsaw" else 0
        self.encoder = nn.Sequential(
            block(nn.Conv2d(in_channels, channels // 2, 3, 2, 1, bias=False)),
            nn.BatchNorm2d(channels // 2),
            block(relu_conv_bn(channels // 2, channels, 3, 2)),
            *blocks,
        )
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        width = channels << sum(kind in _DOUBLES for kind in kinds)
        upsamplings = 2 + sum(kind in _HALVES for kind in kinds)
        outputs = TASKS[task] if num_classes is None else num_classes
        if task == "segmentsemantic":
            self.head: nn.Module = segmentation_decoder(width, outputs, upsamplings)
        elif task in ("normal", "autoencoder"):
            self.head = generative_decoder(width, outputs, upsamplings)
        else:
            self.head = PooledLinear(width * max(1, self.tiles), outputs)

    def forward(self, x: Tensor) -> Tensor:
        """The head's output of images (b, 3, h, w), or of tiles (b, 9, 3, h, w) for jigsaw."""
        # Tiles go one after the other: batch normalisation sees one place of the image at a time, as published.
        features = [self.encoder(part) for part in (x.unbind(1) if self.tiles else (x,))]
        output: Tensor = self.head(torch.cat(features, dim=1))
        return output


class TransNASMicroNetwork(_Network):
    """The fixed skeleton of TransNAS-Bench-101 micro, five modules of two cells, with the head of a `task`.

    Cells have 128, 128, 256, 256 and 512 channels (for 64 `channels` of the stem) and the first, third and fifth module
    halve the resolution, so the encoder divides it by 32. Inputs and outputs of the tasks (published image size 256):

    * ``class_scene``, ``class_object``, ``room_layout``: (b, 3, h, w) to (b, num_classes), by global pooling and a
      linear layer; 47 and 75 classes, 9 values;
    * ``jigsaw``: nine tiles (b, 9, 3, 64, 64) through one encoder, features side by side, to (b, 1000);
    * ``segmentsemantic``: (b, 3, h, w) to logits (b, 17, h, w);
    * ``normal``, ``autoencoder``: (b, 3, h, w) to an image (b, 3, h, w) in [-1, 1]. The discriminator that their
      training adds is no part of the network.

    What is public: the paper gives the skeleton and the tasks; the sizes of the decoders are those of the authors'
    released model. All parameter counts agree with the table of NAS-Bench-Suite-Zero, which counted 63 scene and 100
    object classes (pass them as `num_classes` to compare). Convolutions of the encoder start from Kaiming's normal
    distribution (fan out), as published; the rest from torch's defaults. `dead_edges` as in `NASBench201Network`.

    References: Duan et al., TransNAS-Bench-101, CVPR 2021, arXiv 2105.11871.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        task: str = "class_scene",
        num_classes: int | None = None,
        in_channels: int = 3,
        channels: int = 64,
        dead_edges: bool = False,
    ) -> None:
        blocks = (
            _cell(architecture.code, inputs, outputs, stride, dead_edges)
            for inputs, outputs, stride in _shapes(_SKELETON, channels)
        )
        super().__init__(blocks, task, num_classes, in_channels, channels, _SKELETON)


class TransNASMacroNetwork(_Network):
    """A network of TransNAS-Bench-101 macro: each module is two residual blocks; with the head of a `task`.

    The first block of a module doubles the channels, halves the resolution, both or neither; `channels` are the stem's.
    Tasks, sizes and initial weights as in `TransNASMicroNetwork`; a decoder has as many upsampling layers as the
    encoder has halvings.

    References: Duan et al., TransNAS-Bench-101, CVPR 2021, arXiv 2105.11871.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        task: str = "class_scene",
        num_classes: int | None = None,
        in_channels: int = 3,
        channels: int = 64,
    ) -> None:
        blocks = (
            BasicBlock(inputs, outputs, stride, _projection(inputs, outputs, stride))
            for inputs, outputs, stride in _shapes(architecture.code, channels)
        )
        super().__init__(blocks, task, num_classes, in_channels, channels, architecture.code)


def _shapes(kinds: tuple[int, ...], width: int) -> Iterator[tuple[int, int, int]]:
    """Inputs, outputs and stride of every block."""
    for kind in kinds:
        outputs = 2 * width if kind in _DOUBLES else width
        yield width, outputs, 2 if kind in _HALVES else 1
        for _ in range(1, _BLOCKS):
            yield outputs, outputs, 1
        width = outputs


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _cell(code: tuple[int, ...], inputs: int, outputs: int, stride: int, dead: bool) -> EdgeCell:
    def make(operation: int, source: int) -> nn.Module:
        before, step = (inputs, stride) if source == 0 else (outputs, 1)
        if operation == 1:
            return nn.Identity() if step == 1 else FactorizedReduce(before, outputs)
        return relu_conv_bn(before, outputs, 1 if operation == 2 else 3, step)

    return EdgeCell(code, make, outputs, stride, dead)


_SIZE = 64
"""Height and width in place of the benchmark's 256: scores take a sixteenth of the time."""
_CLASSIFIED = ("class_scene", "class_object", "room_layout")


def _images(samples: int, seed: int, *, task: str = "class_scene") -> tuple[dict[str, object], Batch]:
    """Images of 64 × 64, and the head of ``class_scene`` for tasks that are no classification: losses need labels."""
    head = task if task in _CLASSIFIED else "class_scene"
    return {"task": head}, synthetic_images(samples, TASKS[head], _SIZE, seed=seed)


MICRO_NETWORKS = Networks(TransNASMicroNetwork, _images)
MACRO_NETWORKS = Networks(TransNASMacroNetwork, _images)
