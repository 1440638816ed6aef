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

__all__ = ["COLUMNS", "read_table", "write_table"]

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
    ]
)
"""`evaluation` counts from 1 in the order of completion; NaN: failed (validation) or unknown (test, clock, rank)."""


def write_table(path: Path, table: pa.Table, record: Mapping[str, Any]) -> None:
    """Write `table` with `record` (JSON-serialisable) in its metadata."""
    stamped = table.replace_schema_metadata({_METADATA: json.dumps(record, ensure_ascii=False, default=str).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(stamped, sink, compression="zstd")
    write_atomically(path, sink.getvalue())


def read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The table and its record; `RunDirectoryError` for a file that `write_table` did not write."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise RunDirectoryError(
            path.parent, "holds no comparison (no results.parquet); run one with: po-nas compare"
        ) from None
    except (OSError, pa.ArrowInvalid) as error:
        raise RunDirectoryError(path, f"cannot be read ({error}); run the comparison again") from error
    found = (table.schema.metadata or {}).get(_METADATA)
    if found is None:
        raise RunDirectoryError(path, "is no table of a comparison")
    return table, dict(json.loads(found))
