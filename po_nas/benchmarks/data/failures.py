"""What can go wrong between a public file and its table, one class per remedy."""

from __future__ import annotations

from pathlib import Path

from po_nas.errors import DataError

__all__ = ["DownloadError", "StorageError", "TruncatedFileError"]


class TruncatedFileError(DataError):
    """A file that is shorter or longer than the published one."""

    def __init__(self, path: Path | str, expected: int, actual: int, remedy: str) -> None:
        self.path, self.expected, self.actual = Path(path), expected, actual
        super().__init__(f"{path}: {actual:,} bytes, expected {expected:,}; {remedy}")


class DownloadError(DataError):
    """A file that the network did not deliver."""

    def __init__(self, url: str, cause: BaseException) -> None:
        self.url, self.cause = url, cause
        # The texts of the HTTP stack nest three exceptions deep; the class says as much to the reader.
        super().__init__(
            f"{url} cannot be downloaded ({type(cause).__name__}); files already fetched are kept, so run the command "
            "again when the network is back, or set PO_NAS_DATA_MIRROR to a folder that has the files"
        )


class StorageError(DataError):
    """A cache folder that cannot be written: disk full, read-only, or not a folder."""

    def __init__(self, path: Path | str, cause: OSError) -> None:
        self.path, self.cause = Path(path), cause
        super().__init__(
            f"{path} cannot be written ({cause.strerror or cause}); nothing half-written was kept. Free some space or "
            "set PO_NAS_CACHE to a folder that can be written"
        )
