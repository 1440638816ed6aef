"""The cell-level space of TransNAS-Bench-101: 4,096 cells."""

from __future__ import annotations

import re

from po_nas.errors import InvalidArchitectureError
from po_nas.spaces.base import Architecture
from po_nas.spaces.cell import EdgeCellSpace

__all__ = ["TransNASMicroSpace"]

_STRING = re.compile(r"64-41414-([0-3])_([0-3])([0-3])_([0-3])([0-3])([0-3])", re.ASCII)


class TransNASMicroSpace(EdgeCellSpace):
    """TransNAS-Bench-101 micro: six edges, four operations, 4,096 cells in a fixed macro skeleton.

    Strings are those of the benchmark's API, for example ``64-41414-1_02_333``: the skeleton (64 base channels and the
    module types 4, 1, 4, 1, 4), then the edges into nodes 1, 2 and 3, each group by source node.

    The cell is also used where the skeleton halves the resolution; there a skip connection is a strided projection and
    no identity. `canonical` therefore keeps skips as operations, removes dead edges and merges the swap of nodes 1 and
    2: 1,948 classes. All 169 cells without a path from input to output are one class.

    References: Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task Neural
    Architecture Search, CVPR 2021, arXiv 2105.11871.
    """

    name = "transnas_micro"
    operations = ("none", "skip", "conv1x1", "conv3x3")
    cardinalities = (4,) * 6
    skip_is_identity = False
    reference = "Duan et al., CVPR 2021, arXiv 2105.11871"

    def to_string(self, architecture: Architecture) -> str:
        digits = "".join(map(str, architecture.code))
        return f"64-41414-{digits[0]}_{digits[1:3]}_{digits[3:]}"

    def from_string(self, text: str) -> Architecture:
        match = _STRING.fullmatch(text.strip())
        if match is None:
            raise InvalidArchitectureError(self.name, text, "expected 64-41414-a_bc_def, each letter a digit 0 to 3")
        return Architecture(self.name, tuple(int(digit) for digit in match.groups()))
