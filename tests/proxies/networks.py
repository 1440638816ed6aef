"""Small networks of different families, and batches for them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from po_nas import networks
from po_nas.spaces import Architecture

N, CLASSES = 6, 4


class Block(nn.Module):
    def __init__(self, c: int, d: int, stride: int = 1) -> None:
        super().__init__()
        self.a = nn.Conv2d(c, d, 3, stride, 1, bias=False)
        self.na = nn.BatchNorm2d(d)
        self.b = nn.Conv2d(d, d, 3, 1, 1, bias=False)
        self.nb = nn.BatchNorm2d(d)
        self.relu = nn.ReLU(inplace=True)
        self.short = nn.Identity() if c == d else nn.Sequential(nn.Conv2d(c, d, 1, stride), nn.BatchNorm2d(d))

    def forward(self, x):
        out = self.relu(self.na(self.a(x)))
        out = self.nb(self.b(out))
        out += self.short(x)
        return self.relu(out)


class Residual(nn.Module):
    """Stem, two residual blocks, the second strided."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.blocks = nn.ModuleList([Block(width, width), Block(width, 2 * width, 2)])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * width, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(x).flatten(1))


class Depthwise(nn.Module):
    """Inverted bottlenecks with ReLU6, functional pooling, two outputs."""

    def __init__(self) -> None:
        super().__init__()

        def unit(c: int, d: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(c, 2 * c, 1, bias=False),
                nn.BatchNorm2d(2 * c),
                nn.ReLU6(inplace=True),
                nn.Conv2d(2 * c, 2 * c, 3, stride, 1, groups=2 * c, bias=False),
                nn.BatchNorm2d(2 * c),
                nn.ReLU6(inplace=True),
                nn.Conv2d(2 * c, d, 1, bias=False),
                nn.BatchNorm2d(d),
            )

        self.units = nn.Sequential(unit(3, 6, 1), unit(6, 6, 2), unit(6, 8, 1))
        self.relu = nn.ReLU6()
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.relu(self.units(x)).mean((2, 3))
        return self.head(x), x


class Perceptron(nn.Sequential):
    """No convolution, no normalisation; ReLU in place on the layers' outputs."""

    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(3 * 64, 10),
            nn.ReLU(inplace=True),
            nn.Linear(10, 9),
            nn.LeakyReLU(0.1),
            nn.Linear(9, CLASSES),
        )


class Functional(nn.Module):
    """Cell-like: two operations of the same ReLU'd tensor, called as functions; dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.a, self.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        x = self.norm(self.a(functional.relu(x)) + self.b(torch.relu(x)))
        return self.head(functional.dropout(x.relu().mean((2, 3)), 0.3, self.training))


def cell_network() -> nn.Module:
    """A NAS-Bench-201 network with a pooling, a skip connection and an edge that is dead."""
    return networks.build(Architecture("nasbench201", (3, 4, 0, 2, 1, 3)), channels=4, cells=1, num_classes=CLASSES)


FAMILIES = {"residual": Residual, "depthwise": Depthwise, "perceptron": Perceptron, "cells": cell_network}


def make(family, dtype=torch.float64, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = family().to(dtype)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                # Not the neutral values, so that a reference that forgets them is found out.
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
    return network


def batch(dtype=torch.float64, n=N, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 3, 8, 8, generator=generator, dtype=torch.float64)
    return inputs.to(dtype), torch.arange(n) % 3
