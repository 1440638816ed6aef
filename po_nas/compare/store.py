"""The table of a comparison on disk: one row per evaluation, protocol and versions in the schema's metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from po_nas.errors import RunDirectoryError
from po_nas.runtime.parts import write_atomically

__all__ = ["COLUMNS", "cast", "read_table", "write_table"]

_METADATA = b"po_nas.comparison"

COLUMNS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int64()),
        ("evaluation", pa.int64()),
        ("architecture", pa.string()),
        ("validation", pa.float64()),
        ("test", pa.float64()),
        ("cost_s", pa.float64()),
        ("overhead_s", pa.float64()),
        ("clock_s", pa.float64()),
        ("rank", pa.float64()),
        ("violation", pa.float64()),
        ("losses", pa.list_(pa.float64())),
        ("fidelity", pa.float64()),
        ("spent", pa.float64()),
    ]
)
"""`evaluation` counts from 1 in the order of completion; NaN: failed (validation) or unknown (test, clock, rank).

`violation` is how far the metrics are beyond the limits (0 or null: all are kept); `losses` the values of several
objectives, lower = better, null for one objective and for a failure. `fidelity` is null for a full evaluation,
`spent` what all so far count as, in full evaluations (null: all are full ones).
"""
_ADDED = ("violation", "losses", "fidelity", "spent")
"""Columns that older results lack; null there, as where there are no limits, one objective, or full evaluations."""


def write_table(path: Path, table: pa.Table, record: Mapping[str, Any]) -> None:
    """Write `table` with `record` (JSON-serialisable) in its metadata."""
    stamped = table.replace_schema_metadata({_METADATA: json.dumps(record, ensure_ascii=False, default=str).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(stamped, sink, compression="zstd")
    write_atomically(path, sink.getvalue())


def cast(table: pa.Table, columns: pa.Schema, path: Path) -> pa.Table:
    """A table as its columns say, those that were added later filled in; `RunDirectoryError` for another one."""
    for name in columns.names:
        if name in _ADDED and name not in table.column_names:
            table = table.append_column(columns.field(name), pa.nulls(len(table), columns.field(name).type))
    try:
        return table.select(columns.names).cast(columns)
    except (pa.ArrowInvalid, KeyError) as error:
        raise RunDirectoryError(path, f"is damaged ({error}); delete it and run the study again") from error


def read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The table and its record; `RunDirectoryError` for a file that `write_table` did not write."""
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, NotADirectoryError):
        raise RunDirectoryError(
            path.parent, "holds no comparison (no results.parquet); run one with: po-nas compare"
        ) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise RunDirectoryError(path, f"cannot be read ({error}); run the comparison again") from error
    found = (table.schema.metadata or {}).get(_METADATA)
    if found is None:
        raise RunDirectoryError(path, "is no table of a comparison")
    return table, dict(json.loads(found))
