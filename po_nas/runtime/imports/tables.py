"""Evaluations from a table: a CSV or Parquet file, or rows in memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from po_nas.errors import ConfigError, hint
from po_nas.runtime.imports.evaluations import Evaluation, Found, ImportFileError, LeftOut, read_text, told

__all__ = ["read_csv", "read_parquet", "read_rows"]

_SEPARATORS = ",;\t"


def read_csv(path: Path, value: str | None, cost: str | None) -> Found:
    """The rows of a CSV file with a header, separated by commas, semicolons or tabs.

    Args:
        path: The file.
        value: The column of the search signal.
        cost: A column of seconds, if there is one.

    Raises `ImportFileError` for a file that is no such table, `ConfigError` for a column that is not there.
    """
    text = read_text(path)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        lines = [(f"line {reader.line_num}", cells) for cells in reader if cells]
    except csv.Error as error:
        raise ImportFileError(path, f"is no CSV (line {reader.line_num}: {error})") from error
    if not any(names):
        raise ImportFileError(path, "has no header; its first line must name the columns")
    twice = sorted({name for name in names if names.count(name) > 1 and name})
    if twice:
        raise ImportFileError(path, f"has the column {twice[0]!r} twice")

    def rows() -> Iterator[tuple[str, dict[str, Any]] | LeftOut]:
        for where, cells in lines:
            if len(cells) != len(names):
                yield LeftOut(where, f"it has {len(cells)} cells, the header has {len(names)}")
            else:
                # The index that pandas writes has no name.
                pairs = zip(names, map(str.strip, cells), strict=True)
                yield where, {name: cell or None for name, cell in pairs if name}

    return _found(rows(), names, value, cost)


def read_parquet(path: Path, value: str | None, cost: str | None) -> Found:
    """The rows of a Parquet file; the arguments and errors are those of `read_csv`."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ImportFileError(path, f"is no Parquet file that can be read ({reason})") from error
    names = [name for name in table.column_names if name != "__index_level_0__"]
    rows = ((f"row {k}", {name: row[name] for name in names}) for k, row in enumerate(table.to_pylist(), 1))
    return _found(rows, names, value, cost)


def read_rows(rows: Iterable[Mapping[str, Any]], value: str | None, cost: str | None) -> Found:
    """Rows in memory, such as ``frame.to_dict("records")``; the arguments and errors are those of `read_csv`."""
    listed = list(rows)
    for row in listed:
        if not isinstance(row, Mapping):
            raise ConfigError("source", row, "is no row; each is a mapping of names to values")
    names = list(dict.fromkeys(str(name) for row in listed for name in row))
    numbered = ((f"row {k}", {str(name): item for name, item in row.items()}) for k, row in enumerate(listed, 1))
    return _found(numbered, names, value, cost)


def _found(
    rows: Iterable[tuple[str, dict[str, Any]] | LeftOut], names: Sequence[str], value: str | None, cost: str | None
) -> Found:
    columns = ", ".join(name for name in names if name)
    if value is None:
        raise ConfigError("value", "", f"must name the column that is optimised; there are {columns}")
    for key, name in (("value", value), ("cost", cost)):
        if name is not None and name not in names:
            raise ConfigError(key, name, f"is no column; {hint(name, names, f'there are {columns}')}")
    signal = value

    def evaluation(row: tuple[str, dict[str, Any]] | LeftOut) -> Evaluation | LeftOut:
        if isinstance(row, LeftOut):
            return row
        where, cells = row
        values = {name: item for name, item in cells.items() if name not in (value, cost)}
        return told(where, values, cells.get(signal), None if cost is None else cells.get(cost), {})

    return Found.of(map(evaluation, rows), None, signal)
