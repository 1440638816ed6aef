"""Writing what a training leaves behind."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from po_nas.errors import TrainingStorageError
from po_nas.files import replace_file

__all__ = ["save", "write"]


def write(path: Path, data: bytes | str) -> None:
    """Write `path` all at once; `TrainingStorageError` when the disk refuses, with what was there before kept."""
    try:
        replace_file(path, data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise TrainingStorageError(path, str(error.strerror)) from error


def save(path: Path, value: Any) -> None:
    """`torch.save`, all at once."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write(path, buffer.getvalue())
