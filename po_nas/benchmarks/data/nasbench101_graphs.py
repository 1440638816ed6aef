"""NAS-Bench-101 cells of the public sample as graphs.

The public records name a cell by its hash alone. ``nasbench101_graphs.npz`` holds a graph for each hash of the
sample, found by enumerating the space and hashing; the converter hashes each of them again, so a wrong one cannot
pass.
"""

from __future__ import annotations

import io
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench101_graph import EDGES, VERTICES

__all__ = ["packed_graphs", "unpack"]


def packed_graphs() -> NDArray[np.uint32]:
    """Packed graphs (30001,) in the order of their hashes: 21 bits for the edges, then two for each operation."""
    resource = files("po_nas.benchmarks.data") / "nasbench101_graphs.npz"
    with np.load(io.BytesIO(resource.read_bytes()), allow_pickle=False) as archive:
        graphs: NDArray[np.uint32] = archive["graphs"]
    return graphs


def unpack(code: int) -> Architecture:
    """The architecture of a packed graph; its code is that of `po_nas.spaces.nasbench101`."""
    bits = tuple(code >> k & 1 for k in range(len(EDGES)))
    return Architecture("nasbench101", (bits, tuple(code >> len(EDGES) + 2 * v & 3 for v in range(VERTICES - 2))))
