"""The operations of DARTS cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from po_nas.networks.layers import FactorizedReduce

__all__ = ["DropPath", "operation"]


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
        """Apply the layer."""
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
