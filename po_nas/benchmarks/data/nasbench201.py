"""NAS-Bench-201 from public files: accuracies, seconds and NAS-Bench-Suite-Zero proxies, in enumeration order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.datasets import is_available, table
from po_nas.benchmarks.data.files import files_of
from po_nas.benchmarks.data.nasbench201_rows import CELLS, arrange, flops, parameters, row_of_string, row_of_tuple
from po_nas.benchmarks.data.store import Column, Read, numbers, without_failures
from po_nas.benchmarks.data.text_files import SUITE, read_archive, read_csv
from po_nas.benchmarks.data.torch_files import read_torch_file
from po_nas.benchmarks.unpickle import read_frame, read_pickle_bytes
from po_nas.errors import DataError

__all__ = ["columns", "hardware_columns", "load_hardware", "load_public"]

_SETS = {"c10": "cifar10", "c100": "cifar100", "in16": "ImageNet16-120"}


def load_public(task: str) -> Mapping[str, NDArray[np.float64]] | None:
    """Published numbers of a task (``c10``, ``c100`` or ``in16``), or None when the data set is not fetched.

    Columns of shape (15625,) in the enumeration order of the space: `test_200` (percent; CIFAR-10: trained on all
    50,000 images), `val_12`, `test_12` (percent) and, for CIFAR-10 alone, `cost_12_s` (seconds).
    """
    if not is_available("nasbench201"):
        return None
    names = ["test_200", "val_12", "test_12"] + ["cost_12_s"] * (task == "c10")
    read = table("nasbench201").read([f"{task}_{name}" for name in names])
    return {name: read[f"{task}_{name}"] for name in names}


def columns(read: Read) -> Iterator[Column]:
    """Convert the public files.

    Accuracies after 200 epochs are means over the up to three runs stored upstream; `c10_test_200` is of networks
    trained on all 50,000 images, `c10_test_200_train25k` of those behind `c10_val_200`. After 12 epochs one run each,
    for `c10_val_12` two by its granularity. Parameters and FLOPs follow from the operation counts.
    """
    published = {prefix: read_csv(read(f"nasgraph_nb201_200ep_{name}.csv")) for prefix, name in _SETS.items()}
    api = published["c10"]["arch str"]
    rows = np.array([row_of_string(text) for text in api])
    if len(np.unique(rows)) != CELLS or any(p["arch str"] != api for p in published.values()):
        raise DataError(f"NAS-Bench-201: {len(np.unique(rows))} distinct cells in the public files, expected {CELLS}")
    index = np.empty(CELLS, np.int64)
    index[rows] = [int(i) for i in published["c10"]["file id"]]
    yield Column("api_index", index, "id")

    short = read_frame(read("mini_nb201_arch_cell_accs.pd"), "mini_nb201_arch_cell_accs.pd")
    short_rows = [row_of_string(text) for text in short["cellstr"]]
    for prefix, name in _SETS.items():
        stem = "imagenet" if prefix == "in16" else name
        yield numbers(f"{prefix}_val_12", arrange(short_rows, short[f"{stem}-val"]), "search", "percent")
        yield numbers(f"{prefix}_test_12", arrange(short_rows, short[f"{stem}-test"]), "report", "percent")
        for split, role in (("train", "train"), ("validation", "search"), ("test", "report")):
            values = arrange(rows, published[prefix][f"{split} accuracy"])
            suffix = "_train25k" if (prefix, split) == ("c10", "test") else ""
            yield numbers(f"{prefix}_{split[:3] if role == 'search' else split}_200{suffix}", values, role, "percent")

    full = read_pickle_bytes(read("robot_nb2_cf10_test_accuracy.p"), "robot_nb2_cf10_test_accuracy.p")
    yield numbers("c10_test_200", arrange(rows, full), "report", "percent")
    info = read_pickle_bytes(read("robot_nb2_cf10_hp12_info.p"), "robot_nb2_cf10_hp12_info.p")
    costs = arrange([row_of_string(record["arch"]) for record in info], [record["cost"] for record in info])
    yield numbers("c10_cost_12_s", costs, "cost", "s")

    for prefix in _SETS:
        yield numbers(f"{prefix}_params_m", parameters(prefix), "proxy", "million")
        yield numbers(f"{prefix}_flops_m", flops(prefix), "proxy", "million")
    yield from _proxies(read)


def _proxies(read: Read) -> Iterator[Column]:
    prefix_of = {name: prefix for prefix, name in _SETS.items()}
    zen: dict[str, tuple[list[int], list[float], list[float]]] = {prefix: ([], [], []) for prefix in _SETS}
    for record in read_archive(read("naslib_nb201_zen.zip"), "naslib_nb201_zen.zip"):
        rows, scores, seconds = zen[prefix_of[record.dataset]]
        rows.append(row_of_tuple(record.architecture))
        scores.append(record.score)
        seconds.append(record.seconds)
    for prefix, (rows, scores, seconds) in zen.items():
        yield numbers(f"{prefix}_zen", without_failures(arrange(rows, scores)), "proxy")
        yield numbers(f"{prefix}_zen_s", arrange(rows, seconds), "cost", "s")

    authors = read_frame(read("naswot_arch_score_acc.pd"), "naswot_arch_score_acc.pd")
    author_rows = [row_of_string(text) for text in authors["cellstr"]]
    yield numbers("c10_naswot_authors", arrange(author_rows, authors["score"]), "proxy")

    for prefix, file in (
        ("c10", "zccombine_nb201_zc_proxies.csv"),
        ("in16", "zccombine_nb201_ImageNet16-120_zc_proxies.csv"),
    ):
        content = read_csv(read(file))
        suite_rows = [row_of_tuple(text) for text in content["net"]]
        for proxy in SUITE:
            values = without_failures(arrange(suite_rows, content[proxy]))
            yield numbers(f"{prefix}_nbs0_{proxy}", values, "proxy")


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


def hardware_columns(read: Read) -> Iterator[Column]:
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
