"""Converted tables: one parquet file per data set in the cache, read column by column."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.data.fetch import replace_with
from po_nas.benchmarks.data.files import cache_folder, files_of
from po_nas.errors import DataError

__all__ = ["Column", "Read", "Table", "is_complete", "numbers", "table_path", "without_failures", "write_table"]

Read = Callable[[str], bytes]
"""Gives a converter the checked bytes of a public file by its registered name."""

_FAILED = -1e8
"""What NAS-Bench-Suite-Zero wrote where a score could not be computed."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `values` is a (n,) float64 or integer array, or n strings.

    `role` is ``id``, ``search`` (a method may see it), ``report`` (for the reader only), ``train``, ``proxy``,
    ``cost`` or ``hardware``; `unit` is empty for plain scores.
    """

    name: str
    values: NDArray[np.float64] | NDArray[np.int64] | Sequence[str]
    role: str
    unit: str = ""


def numbers(name: str, values: Sequence[float] | NDArray[np.float64], role: str, unit: str = "") -> Column:
    """A float64 column; NaN where a number is missing."""
    return Column(name, np.asarray(values, np.float64), role, unit)


def without_failures(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the upstream failure marker and infinities by NaN; such a row ranks last, it is not dropped."""
    return np.where((values == _FAILED) | np.isinf(values), np.nan, values)


def table_path(dataset: str, version: int) -> Path:
    """Where the table lies. Its name changes with the source files and with the converter's version."""
    sources = sorted(record.sha256 for record in files_of(dataset))
    key = hashlib.sha256("\n".join([str(version), *sources]).encode()).hexdigest()[:12]
    return cache_folder() / "tables" / f"{dataset}-{key}.parquet"


def write_table(path: Path, columns: Sequence[Column]) -> None:
    """Write `columns` as `path`, all at once; `StorageError` when the disk refuses. Call it inside `writing`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        pa.field(c.name, pa.array(c.values[:0]).type, metadata={"role": c.role, "unit": c.unit})
        if isinstance(c.values, np.ndarray)
        else pa.field(c.name, pa.string(), metadata={"role": c.role, "unit": c.unit})
        for c in columns
    ]
    table = pa.Table.from_arrays([pa.array(c.values) for c in columns], schema=pa.schema(fields))
    with replace_with(path) as part:
        pq.write_table(table, part, compression="zstd", use_dictionary=False, write_page_checksum=True)


def is_complete(path: Path) -> bool:
    """Whether a table has a readable footer and all the bytes that this announces."""
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        size = path.stat().st_size
    except (OSError, ValueError):
        return False
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        for column in (group.column(number) for number in range(group.num_columns)):
            first = column.dictionary_page_offset or column.data_page_offset
            if first + column.total_compressed_size > size - metadata.serialized_size:
                return False
    return True


class Table(Mapping[str, Any]):
    """The columns of a converted data set, as numpy arrays; a column is read when it is asked for.

    Numbers are (n,) float64 or integer arrays, strings (n,) object arrays. Nothing is kept: hold on to an array, not
    to the table. Every read is checked against the checksums in the file.
    """

    def __init__(self, dataset: str, path: Path) -> None:
        import pyarrow.parquet as pq

        self._dataset, self._path = dataset, path
        try:
            schema = pq.read_schema(path)
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        self._metadata = {
            field.name: {k.decode(): v.decode() for k, v in (field.metadata or {}).items()} for field in schema
        }

    def _damaged(self, error: BaseException) -> DataError:
        return DataError(
            f"{self._path} is damaged ({type(error).__name__}); rebuild it with: po-nas data convert {self._dataset}"
        )

    def read(self, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Several columns at once."""
        import pyarrow.parquet as pq

        for name in names:
            if name not in self._metadata:
                raise KeyError(name)
        try:
            read = pq.read_table(self._path, columns=list(names), page_checksum_verification=True, use_threads=False)
        except (OSError, ValueError) as error:
            raise self._damaged(error) from error
        return {name: read[name].to_numpy() for name in names}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.read([name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metadata)

    def __len__(self) -> int:
        return len(self._metadata)

    def role(self, name: str) -> str:
        """What a column may be used for: see `Column.role`."""
        return str(self._metadata[name]["role"])

    def unit(self, name: str) -> str:
        """The unit of a column."""
        return str(self._metadata[name]["unit"])
