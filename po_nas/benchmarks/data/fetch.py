"""One public file: from the mirror or the network into the cache, checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from po_nas.benchmarks.data.files import PublicFile, cache_folder, cached_file, mirror_folder
from po_nas.errors import DataError, HashMismatchError

__all__ = [
    "DownloadError",
    "StorageError",
    "TruncatedFileError",
    "check",
    "fetch",
    "is_sound",
    "replace_with",
    "writing",
]


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


_TIMEOUT_S = 60
"""Longest silence of a server, in seconds, before a download counts as failed."""


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, record: PublicFile, remedy: str) -> None:
    """Raise `TruncatedFileError` or `HashMismatchError` unless `path` holds the bytes of `record`."""
    size = path.stat().st_size
    if size != record.bytes:
        raise TruncatedFileError(path, record.bytes, size, remedy)
    actual = sha256_of(path)
    if actual != record.sha256:
        raise HashMismatchError(path, record.sha256, actual, remedy)


def is_sound(record: PublicFile) -> bool:
    """Whether the cache holds `record` with the published bytes."""
    try:
        check(cached_file(record), record, "it is fetched again")
    except (DataError, OSError):
        return False
    return True


@contextmanager
def writing() -> Iterator[None]:
    """Hold the one lock of the cache: a single process fetches or converts at a time, the others wait for it.

    The lock is the kernel's, so it dies with its process. Raises `StorageError` when the cache cannot be written.
    """
    from filelock import FileLock

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()
    except OSError as error:
        raise StorageError(folder, error) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replace_with(path: Path) -> Iterator[Path]:
    """Give out a temporary name beside `path` and rename it to `path` once the block has ended well.

    The bytes are on disk before the rename, so `path` is either absent, old or complete. The temporary name is always
    the same, so what a killed process left there is overwritten by the next one; hold `writing` around it.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise StorageError(path, error) from error
    finally:
        # Absent after a good end; after a bad one the disk may be the very thing that fails.
        with suppress(OSError):
            part.unlink(missing_ok=True)


def fetch(record: PublicFile) -> Path:
    """Make sure that the cache holds `record` and return its path; call it inside `writing`.

    A cached file with wrong bytes is replaced. The mirror is asked first; a wrong file there is an error, not a reason
    to fall back silently. Raises `HashMismatchError`, `TruncatedFileError`, `DownloadError` or `StorageError`.
    """
    path = cached_file(record)
    if is_sound(record):
        return path
    mirror = mirror_folder()
    source = mirror / record.mirror if mirror else None
    with replace_with(path) as part:
        if source is not None and source.is_file():
            check(source, record, "the mirror holds a damaged copy: repair it or unset PO_NAS_DATA_MIRROR")
            shutil.copyfile(source, part)
        else:
            _download(record.url, part)
        check(part, record, f"{source or record.url} did not deliver the published file; run the command again")
    return path


def _download(url: str, target: Path) -> None:
    import pooch
    import requests

    try:
        pooch.HTTPDownloader(timeout=_TIMEOUT_S)(url, str(target), None)
    except requests.exceptions.RequestException as error:
        # Every one of them is an OSError too, so it must be told apart from a full disk first.
        raise DownloadError(url, error) from error
