"""Results of a long study, kept part by part: it may be interrupted at any time and goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from po_nas.errors import RunDirectoryError
from po_nas.files import replace_file

__all__ = ["Parts", "write_atomically"]


class Parts:
    """A folder with one Parquet file per finished part, named after a hash of what the part is of.

    A part is written to a temporary file, synced and renamed, so that it is there as a whole or not at all; several
    processes may write parts at the same time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "parts"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirectoryError(directory, f"cannot be created ({error.strerror})") from error

    @staticmethod
    def name(key: Mapping[str, Any]) -> str:
        """Hash of a JSON-serialisable key."""
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]

    def path(self, key: Mapping[str, Any]) -> Path:
        """The file of a part, there or not."""
        return self.directory / f"{self.name(key)}.parquet"

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        return self.path(key).exists()

    def write(self, key: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a part; a part of the same key is replaced."""
        _write(pa.Table.from_pylist(rows), self.path(key))

    def read(self, key: Mapping[str, Any]) -> pa.Table:
        """The rows of a finished part; `RunDirectoryError` for a damaged one."""
        path = self.path(key)
        try:
            return pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise RunDirectoryError(path, f"is damaged ({error}); delete it and run the study again") from error

    def gather(self, keys: Iterable[Mapping[str, Any]], target: Path) -> pa.Table:
        """All rows of the finished parts among `keys`, in their order; also written to `target`."""
        tables = [self.read(key) for key in keys if key in self]
        if not tables:
            raise RunDirectoryError(self.directory.parent, "holds no finished part of this study; run it first")
        table = pa.concat_tables(tables, promote_options="default")
        _write(table, target)
        return table


def _write(table: pa.Table, target: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(target, sink.getvalue())


def write_atomically(path: Path, data: bytes | pa.Buffer) -> None:
    """`replace_file` in the directory of a study; `RunDirectoryError` when the disk refuses."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise RunDirectoryError(path, f"cannot be written ({error.strerror}); finished parts are kept") from error
