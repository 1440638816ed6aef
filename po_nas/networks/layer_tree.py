"""The tree of layers that a canonical key of NAS-Bench-Graph writes down."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Layer", "layers_of"]


class Layer(NamedTuple):
    """A layer: its operation and the number of the one below which it hangs, 0 for the input."""

    operation: str
    parent: int


def layers_of(key: str) -> list[Layer]:
    """The layers 1, 2, … of a key such as ``gcn(gat,skip),sage``, parents before children."""
    layers: list[Layer] = []
    above = [0]
    for name, mark in re.findall(r"(\w+)|([(),])", key):
        if name:
            layers.append(Layer(name, above[-1]))
        elif mark == "(":
            above.append(len(layers))
        elif mark == ")":
            above.pop()
    return layers
