"""The networks of NAS-Bench-201."""

from __future__ import annotations

from torch import Tensor, nn

from po_nas.networks.base import Networks, positive
from po_nas.networks.layers import BasicBlock, EdgeCell, relu_conv_bn
from po_nas.spaces.base import Architecture
from proxies.blocks import block

__all__ = ["NETWORKS", "NASBench201Network"]


class NASBench201Network(nn.Module):
    """Stem, three stages of equal cells with a residual reduction block between them, classifier.

    Images (b, in_channels, h, w), h and w of at least 4 (32 for CIFAR, 16 for ImageNet16-120), to logits (b,
    num_classes). The benchmark's own networks have 5 `cells` in a stage and 16 `channels` in the first; `num_classes`
    is 10, 100 or 120.

    Initial weights are torch's defaults, as in the benchmark. Edges that a ``none`` makes useless hold parameters but
    are not computed. The published networks compute them (`dead_edges`): an operation on zeros ends in the bias of a
    batch normalisation, which is zero until it is trained. The output is the same before any training.

    References: Dong and Yang, NAS-Bench-201, ICLR 2020, arXiv 2001.00326.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        channels: int = 16,
        cells: int = 5,
        dead_edges: bool = False,
    ) -> None:
        positive(num_classes=num_classes, in_channels=in_channels, channels=channels, cells=cells)
        super().__init__()
        convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.stem = block(nn.Sequential(convolution, nn.BatchNorm2d(channels)))
        body: list[nn.Module] = []
        width = channels
        for stage in range(3):
            if stage:
                shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(width, 2 * width, 1, bias=False))
                body.append(BasicBlock(width, 2 * width, 2, shortcut))
                width *= 2
            body += [_cell(architecture.code, width, dead_edges) for _ in range(cells)]
        self.body = nn.Sequential(*body)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_classes) of images (b, in_channels, h, w)."""
        x = self.relu(self.norm(self.body(self.stem(x))))
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


def _cell(code: tuple[int, ...], width: int, dead: bool) -> EdgeCell:
    def make(operation: int, _: int) -> nn.Module:
        if operation == 1:
            return nn.Identity()
        if operation == 4:
            return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        return relu_conv_bn(width, width, 1 if operation == 2 else 3)

    return EdgeCell(code, make, width, 1, dead)


NETWORKS = Networks(NASBench201Network, smallest=lambda options: 4)
