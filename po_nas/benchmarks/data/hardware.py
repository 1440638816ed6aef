"""Latency and energy of NAS-Bench-201 cells on devices: HW-NAS-Bench and HELP, in enumeration order."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.datasets import is_available, table
from po_nas.benchmarks.data.files import files_of
from po_nas.benchmarks.data.nasbench201_rows import arrange, row_of_string, row_of_tuple
from po_nas.benchmarks.data.store import Column, Read, numbers
from po_nas.benchmarks.data.text_files import read_csv
from po_nas.benchmarks.unpickle import read_pickle_bytes
from po_nas.errors import DataError

__all__ = ["columns", "load_hardware", "read_torch_file"]

_UNITS = {"latency": "ms", "energy": "mJ"}


def load_hardware(task: str) -> Mapping[str, tuple[NDArray[np.float64], str]]:
    """Device measurements of a task (``c10``, ``c100``, ``in16``) with their units; empty when not fetched.

    HW-NAS-Bench's are named ``<device>_latency`` and ``<device>_energy``, HELP's (CIFAR-10 only) ``help_<device>``.
    """
    if not is_available("nasbench201_hardware"):
        return {}
    stored = table("nasbench201_hardware")
    wanted = {name: name.removeprefix(f"hw_{task}_") for name in stored if name.startswith(f"hw_{task}_")}
    if task == "c10":
        wanted |= {name: name.removeprefix("lat_") for name in stored if name.startswith("lat_help_")}
    read = stored.read(list(wanted))
    return {short: (read[name], stored.unit(name)) for name, short in wanted.items()}


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    ``hw_<c10|c100|in16>_<device>_<latency|energy>`` in ms and mJ from HW-NAS-Bench; ``lat_help_<device>`` in ms from
    HELP, measured on CIFAR-10. The edge TPU was not measured for 4,699 cells (upstream -1, here NaN). HELP's pixel3,
    raspi4, fpga and eyeriss repeat HW-NAS-Bench and are left out.
    """
    for prefix, name in (("c10", "cifar10"), ("c100", "cifar100"), ("in16", "ImageNet16-120")):
        content = read_csv(read(f"zccombine_hwnasbench_{name}.csv"))
        rows = [row_of_tuple(text) for text in content.pop("net")]
        for measure, texts in content.items():
            values = arrange(rows, texts)
            if measure == "edgetpu_latency":
                values = np.where(values == -1, np.nan, values)
            unit = _UNITS.get(measure.rpartition("_")[2], "")
            yield numbers(f"hw_{prefix}_{measure}", values, "hardware", unit)

    index_of = read_torch_file(read("help_nb201_str_arch2idx.pt"), "help_nb201_str_arch2idx.pt")
    rows_by_index = np.empty(len(index_of), np.int64)
    for text, index in index_of.items():
        rows_by_index[index] = row_of_string(text)
    stem = "help_nb201_latency_"
    for record in files_of("nasbench201_hardware"):
        if record.name.startswith(stem):
            values = arrange(rows_by_index, read_torch_file(read(record.name), record.name))
            yield numbers(f"lat_help_{record.name.removeprefix(stem).removesuffix('.pt')}", values, "hardware", "ms")


def read_torch_file(data: bytes, name: str) -> Any:
    """The object in a file that ``torch.save`` wrote, without torch.

    Only numbers, strings, lists and dictionaries are read: a tensor, or anything else that is named by a global or by
    a storage, raises `UnsafePickleError`; a damaged file raises `DataError`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            content = archive.read(member)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DataError(f"{name}: not a torch file; fetch it again") from error
    return read_pickle_bytes(content, name)
