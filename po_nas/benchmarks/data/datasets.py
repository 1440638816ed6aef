"""The public data sets, and what can be done with them: get, status, verify, convert, table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from po_nas.benchmarks.data.fetch import check, fetch, is_sound, writing
from po_nas.benchmarks.data.files import cached_file, files_of
from po_nas.benchmarks.data.store import Column, Read, Table, is_complete, table_path, write_table
from po_nas.errors import DataError, MissingDataError, UnknownNameError, short

__all__ = ["Dataset", "Status", "convert", "dataset", "get", "is_available", "names", "status", "table", "verify"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many bytes are done, and how many there are in all."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set: what it holds, the function that turns its files into columns, and that function's version."""

    name: str
    summary: str
    converter: str
    version: int
    reference: str


_DATASETS = {
    name: Dataset(name, summary, converter, 1, f"arXiv {arxiv}")
    for name, converter, arxiv, summary in (
        (
            *("nasbench201", "nasbench201:columns", "2001.00326, 2009.00437, 2210.03230, 2006.04647"),
            "NAS-Bench-201: 200- and 12-epoch accuracies, seconds, 13 proxies, 15,625 cells x 3 data sets",
        ),
        (
            *("nasbench201_hardware", "nasbench201:hardware_columns", "2103.10584, 2106.08630"),
            "latency and energy of the 15,625 NAS-Bench-201 cells: HW-NAS-Bench and HELP devices",
        ),
        (
            *("transnasbench101", "transnas:columns", "2105.11871, 2210.03230"),
            "TransNAS-Bench-101: 7 tasks, best and final epoch, 4,096 micro cells and 3,256 macro networks, proxies",
        ),
        (
            *("nasbench101_sample", "nasbench101:columns", "1902.09635"),
            "NAS-Bench-101: 30,001 of its 423,624 cells, validation after 4, 12, 36 and 108 epochs",
        ),
        (
            *("nasbench301_sample", "suite_zero:nasbench301_columns", "2008.09777, 2210.03230"),
            "NAS-Bench-301: surrogate predictions and proxies of 1,218 DARTS cells",
        ),
        (
            *("suite_zero", "suite_zero:columns", "2210.03230"),
            "NAS-Bench-Suite-Zero: up to 13 proxies with their seconds on 28 small problems",
        ),
        (
            *("nasbench_mr", "nasbench_mr:columns", "2103.13253"),
            "NAS-Bench-MR: 2,507 multi-resolution networks, 8 tasks; academic use by its README",
        ),
        (
            *("hwgpt", "hwgpt:columns", "2405.10299"),
            "HW-GPT-Bench: predictors of perplexity, sizes and memory of language models at 3 scales",
        ),
        (
            *("vit_bench", "vit_bench:columns", "2312.09059"),
            "ViT-Bench-101: test accuracies of 3 x 100 vision transformers on 3 small image data sets",
        ),
        (
            *("nasbench_bert", "nasbench_bert:columns", "2306.00288"),
            "NAS-Bench-BERT: GLUE scores, seconds and 14 proxies of 500 trainings of encoders",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Status:
    """What of a data set is on this machine.

    `state` is ``absent`` (files are missing), ``files`` (all are there, not converted) or ``converted``; `bytes` and
    `files` count what is there, `total_bytes` and `total_files` what the data set is made of.
    """

    dataset: str
    state: Literal["absent", "files", "converted"]
    files: int
    total_files: int
    bytes: int
    total_bytes: int
    table: Path | None


def names() -> list[str]:
    """Names of the data sets."""
    return list(_DATASETS)


def dataset(name: str) -> Dataset:
    """The record of a data set; `UnknownNameError` with the nearest name."""
    if name not in _DATASETS:
        raise UnknownNameError("data set", name, _DATASETS)
    return _DATASETS[name]


def _path(name: str) -> Path:
    return table_path(name, dataset(name).version)


def is_available(name: str) -> bool:
    """Whether the converted table is there."""
    return _path(name).is_file()


def status(name: str) -> Status:
    """What is there, by presence and size; `verify` re-hashes."""
    path = _path(name)
    records = files_of(name)
    present = [r for r in records if cached_file(r).is_file()]
    complete = len(present) == len(records)
    return Status(
        name,
        "converted" if path.is_file() else "files" if complete else "absent",
        len(present),
        len(records),
        sum(r.bytes for r in present),
        sum(r.bytes for r in records),
        path if path.is_file() else None,
    )


def get(name: str, progress: Progress | None = None, *, full: bool = False) -> None:
    """Fetch what is missing or damaged of a data set, then convert it unless its table is there and whole.

    Files are known by their hashes, the table by its size and footer; with `full` the table is read from beginning to
    end. Safe to call from several processes and to call again after a failure: complete files are kept. Raises
    `HashMismatchError`, `TruncatedFileError`, `DownloadError` or `StorageError`.
    """
    records = files_of(dataset(name).name)
    # Nothing to do needs no lock, so a complete cache may be read-only.
    if _is_whole(name, full) and all(is_sound(record) for record in records):
        return
    with writing():
        total, done = sum(r.bytes for r in records), 0
        for record in records:
            if progress:
                progress(record.name, done, total)
            fetch(record)
            done += record.bytes
        # Another process may have converted while this one waited for the lock.
        if not _is_whole(name, full):
            if progress:
                progress("converting", total, total)
            _convert(name)


def _is_whole(name: str, full: bool) -> bool:
    """Whether the table is there and undamaged, as far as its size and its footer tell; with `full`, all of it."""
    path = _path(name)
    if not path.is_file() or not is_complete(path):
        return False
    if full:
        try:
            columns = Table(name, path)
            columns.read(list(columns))
        except DataError:
            return False
    return True


def convert(name: str) -> None:
    """Rebuild the table from the fetched files; `MissingDataError` when some are absent."""
    dataset(name)
    with writing():
        _convert(name)


def _convert(name: str) -> None:
    module, _, function = dataset(name).converter.partition(":")
    columns = cast(
        "Callable[[Read], Iterable[Column]]",
        getattr(importlib.import_module(f"po_nas.benchmarks.data.{module}"), function),
    )
    path = _path(name)
    try:
        found = list(columns(_reader(name)))
    except (DataError, OSError, MemoryError):
        raise
    except Exception as error:
        # Readers of zip, CSV and JSON files fail in many ways on content that they do not expect.
        raise DataError(
            f"{name} cannot be converted ({type(error).__name__}: {short(str(error))}): its files have the published "
            "sizes and hashes and another content; upgrade po-nas"
        ) from error
    write_table(path, found)
    for old in path.parent.glob(f"{name}-*.parquet"):
        if old != path:
            old.unlink()


def _reader(name: str) -> Read:
    records = {record.name: record for record in files_of(name)}

    def read(file: str) -> bytes:
        path = cached_file(records[file])
        if not path.is_file():
            raise MissingDataError(f"converting {name} ({file})", name)
        check(path, records[file], f"fetch it again: po-nas data get {name}")
        return path.read_bytes()

    return read


def verify(name: str) -> list[str]:
    """Re-hash every file of a data set and re-read its table; one line per problem, none when all is well."""
    problems = []
    for record in files_of(dataset(name).name):
        path = cached_file(record)
        try:
            check(path, record, f"fetch it again: po-nas data get {name}")
        except FileNotFoundError:
            problems.append(f"{path}: absent; fetch it with: po-nas data get {name}")
        except (DataError, OSError) as error:
            problems.append(str(error))
    try:
        columns = table(name)
        columns.read(list(columns))
    except DataError as error:
        problems.append(str(error))
    return problems


def table(name: str, what: str | None = None) -> Table:
    """The columns of a converted data set.

    `what` says in the message of `MissingDataError` what needed them (default: the name of the data set).
    """
    path = _path(name)
    if not path.is_file():
        raise MissingDataError(what or f"the table {name}", name)
    return Table(name, path)
