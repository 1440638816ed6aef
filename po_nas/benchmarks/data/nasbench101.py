"""A sample of NAS-Bench-101 from public files: 30,001 cells in the order of their hashes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from po_nas import spaces
from po_nas.benchmarks.data.store import Column, Read, numbers, without_failures
from po_nas.benchmarks.data.text_files import integers, read_archive
from po_nas.errors import DataError
from po_nas.spaces.base import Architecture
from po_nas.spaces.nasbench101_graph import EDGES, VERTICES, module_hash

__all__ = ["columns", "packed_graphs", "unpack"]

_FILES = ("nasbenchvis_data-20k.json", "nasbenchvis_data-10k.json")
_EPOCHS = (4, 12, 36, 108)
_NASLIB_OPERATION = {2: 2, 3: 1, 4: 0}
"""NASLib's operation numbers (0 and 1 are input and output) as codes of the hash."""


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    ``val_<epochs>`` is the validation accuracy (percent) of one run under a schedule of that many epochs; there is no
    test accuracy. `graph` is the cell in the packed form of `nasbench101_graphs`; each is hashed again here.
    """
    parts = [json.loads(read(name)) for name in _FILES]
    hashes = np.array([key for part in parts for key in part["key"]])
    order = np.argsort(hashes)
    hashes = hashes[order]
    graphs = packed_graphs()
    space = spaces.get("nasbench101")
    for key, graph in zip(hashes, graphs, strict=True):
        if space.canonical(unpack(int(graph))) != key:
            raise DataError(f"NAS-Bench-101 cell {key}: the packed graph has another hash; reinstall po-nas")

    def joined(field: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([value for part in parts for value in part[field]], np.float64)[order]

    yield Column("hash", hashes.tolist(), "id")
    yield Column("graph", graphs.astype(np.int64), "structure")
    for epochs in _EPOCHS:
        yield numbers(f"val_{epochs}", 100 * joined(f"{epochs}_final_validation_accuracy"), "search", "percent")
    yield numbers("train_time_108_s", joined("final_training_time"), "cost", "s")
    yield Column("params", joined("trainable_parameters").astype(np.int64), "proxy", "count")

    row_of = {str(key): row for row, key in enumerate(hashes)}
    zen, seconds = np.full(len(hashes), np.nan), np.full(len(hashes), np.nan)
    for record in read_archive(read("naslib_nb101_zen.zip"), "naslib_nb101_zen.zip"):
        row = row_of.get(module_hash(*_naslib_cell(record.architecture)))
        if row is not None:
            zen[row], seconds[row] = record.score, record.seconds
    yield numbers("zen", without_failures(zen), "proxy")
    yield numbers("zen_s", seconds, "cost", "s")


def _naslib_cell(text: str) -> tuple[list[tuple[int, ...]], list[int]]:
    """A NASLib tuple, the n x n adjacency matrix row by row and the n operations, as matrix and labels of the hash."""
    values = integers(text)
    count = next(n for n in range(2, 8) if n * n + n == len(values))
    matrix = [values[row * count : (row + 1) * count] for row in range(count)]
    return matrix, [-1, *(_NASLIB_OPERATION[o] for o in values[count * count + 1 : -1]), -2]


def packed_graphs() -> NDArray[np.uint32]:
    """Packed graphs (30001,) in the order of their hashes: 21 bits for the edges, then two for each operation.

    The public records name a cell by its hash alone; these graphs were found by enumerating the space and hashing.
    """
    resource = files("po_nas.benchmarks.data") / "nasbench101_graphs.npz"
    with np.load(io.BytesIO(resource.read_bytes()), allow_pickle=False) as archive:
        graphs: NDArray[np.uint32] = archive["graphs"]
    return graphs


def unpack(code: int) -> Architecture:
    """The architecture of a packed graph; its code is that of `po_nas.spaces.nasbench101`."""
    bits = tuple(code >> k & 1 for k in range(len(EDGES)))
    return Architecture("nasbench101", (bits, tuple(code >> len(EDGES) + 2 * v & 3 for v in range(VERTICES - 2))))
