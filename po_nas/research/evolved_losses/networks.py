"""The networks that losses are compared on: a small convolutional one, and cells of DARTS."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from po_nas import networks, spaces
from po_nas.networks.layers import seeded
from po_nas.training.data import ImageSet

__all__ = ["GENOTYPES", "ConvNet", "build"]

GENOTYPES = {
    "darts_v2": (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=[2, 3, 4, 5], "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
        "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=[2, 3, 4, 5])"
    )
}
"""The cell that DARTS published (arXiv 1806.09055)."""
_LARGE = 16
"""Images with more pixels a side are halved by the first convolution."""


class ConvNet(nn.Module):
    """3 × 3 convolutions with batch normalisation, each but the first halves the image; mean, dropout, classifier.

    Images (b, 3, h, w) to logits (b, num_classes).
    """

    def __init__(self, num_classes: int, size: int, channels: int, layers: int, dropout: float) -> None:
        super().__init__()
        widths = [3, channels, *([2 * channels] * (layers - 1))]
        strides = [2 if size > _LARGE else 1, *([2] * (layers - 1))]
        blocks = [
            nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            for i, o, stride in zip(widths, widths[1:], strides, strict=False)
        ]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        logits: Tensor = self.classifier(self.body(x))
        return logits


def build(name: str, kind: ImageSet, channels: int, layers: int, dropout: float, seed: int) -> nn.Module:
    """A fresh network: ``conv``, or a key of `GENOTYPES` with `layers` cells, where dropout is of paths."""
    if name == "conv":
        with seeded(seed):
            return ConvNet(kind.num_classes, kind.size, channels, layers, dropout)
    space = spaces.get("darts")
    options: dict[str, Any] = {"num_classes": kind.num_classes, "channels": channels, "cells": layers}
    return networks.build(space.from_string(GENOTYPES[name]), seed=seed, **options)
