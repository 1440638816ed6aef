"""Writing a file so that a reader never sees half of it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(path: Path, data: bytes) -> None:
    """Write `path` through a temporary file beside it, ``NAME.PROCESS.tmp``, which is synced and renamed.

    Missing folders are made. Raises `OSError` when the disk refuses; what was there before is kept.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        # Gone after a good end; after a bad one the disk may be the very thing that fails.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
