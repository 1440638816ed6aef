"""What the tasks of TransNAS-Bench-101 put on top of an encoder."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["PooledLinear", "generative_decoder", "segmentation_decoder"]

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
        """Apply the head."""
        values: Tensor = self.linear(self.pool(x).flatten(1))
        return values


def segmentation_decoder(width: int, classes: int, upsamplings: int) -> nn.Sequential:
    """Logits of every pixel: (b, width, h, w) to (b, classes, h · 2^k, w · 2^k) for k `upsamplings`, 1 to 6.

    1,024 channels at first, halved by each of six layers but the last; the last k of the six double the resolution.
    """
    layers = [_layer(width, _WIDEST, double=False)]
    channels = _WIDEST
    for k in range(_DEEPEST):
        outputs = channels if k == _DEEPEST - 1 else channels // 2
        layers.append(_layer(channels, outputs, double=k >= _DEEPEST - upsamplings))
        channels = outputs
    return nn.Sequential(*layers, nn.Conv2d(channels, classes, 3, padding=1))


def generative_decoder(width: int, channels: int, upsamplings: int) -> nn.Sequential:
    """An image: (b, width, h, w) to (b, channels, h · 2^k, w · 2^k) in [-1, 1] for k `upsamplings`, 1 to 6."""
    layers = []
    for number, outputs in enumerate(_GENERATIVE, 1):
        can_double = number % 2 == 1 and number > 1
        layers.append(_layer(width, outputs, double=can_double and number >= 15 - 2 * upsamplings))
        width = outputs
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())


def _layer(inputs: int, outputs: int, *, double: bool) -> nn.Sequential:
    convolution: nn.Module = (
        nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1)
        if double
        else nn.Conv2d(inputs, outputs, 3, padding=1)
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))
