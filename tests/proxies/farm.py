"""What worker processes of the tests import: builders and proxies."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn


def first_weight(context):
    """The first weight drawn."""
    return float(next(iter(context.parameters.values())).flatten()[0])


def threads(context):
    """How many threads torch would use here."""
    return float(torch.get_num_threads())


def build(width):
    """A perceptron of some width; negative ones fail, each in its own way."""
    if width == -1:
        raise ValueError(width)
    if width == -2:
        os._exit(1)
    if width == -3:
        return "no module"
    if width == -4:
        return nn.Sequential(nn.Linear(5, 3), nn.Linear(4, 3))
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 3))


def build_and_log(item):
    """`build`, with a line in a file for every call."""
    path, width = item
    with Path(path).open("a") as file:
        file.write(f"{width}\n")
    return build(width)


class Unreadable:
    """Pickles, but cannot be read again."""

    def __reduce__(self):
        return (int, ("seven",))
