"""Public benchmark data: fetched once, checked by hash, converted once to columns.

`get` fetches and converts a data set, `status` says what is there, `verify` re-hashes it, `convert` rebuilds its
table, `table` reads the columns. Nothing heavy is imported before it is needed.

Environment: ``PO_NAS_CACHE`` names the folder that holds everything (default: the user's cache folder),
``PO_NAS_DATA_MIRROR`` a folder that is tried before the network; it is laid out like the cache's own folder ``files``,
so the cache of one machine can serve as the mirror of another.
"""

from po_nas.benchmarks.data.datasets import (
    Dataset,
    Status,
    convert,
    dataset,
    get,
    is_available,
    names,
    status,
    table,
    verify,
)
from po_nas.benchmarks.data.fetch import DownloadError, StorageError, TruncatedFileError
from po_nas.benchmarks.data.files import PublicFile, files_of

__all__ = [
    "Dataset",
    "DownloadError",
    "PublicFile",
    "Status",
    "StorageError",
    "TruncatedFileError",
    "convert",
    "dataset",
    "files_of",
    "get",
    "is_available",
    "names",
    "status",
    "table",
    "verify",
]
