"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from po_nas.errors import TrainingStorageError

__all__ = ["save", "write"]


def write(path: Path, data: bytes | str) -> None:
    """Write `path` all at once; `TrainingStorageError` when the disk refuses, with what was there before kept."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise TrainingStorageError(path, str(error.strerror)) from error


def save(path: Path, value: Any) -> None:
    """`torch.save`, all at once."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write(path, buffer.getvalue())
