"""Files written by ``torch.save`` that hold plain containers, read without torch."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from po_nas.benchmarks.unpickle import read_pickle_bytes
from po_nas.errors import DataError

__all__ = ["read_torch_file"]


def read_torch_file(data: bytes, name: str) -> Any:
    """The object in a zip-format torch file.

    Only numbers, strings, lists and dictionaries are read: a tensor, or anything else that is named by a global or by
    a storage, raises `UnsafePickleError`; a damaged file raises `DataError`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            content = archive.read(member)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DataError(f"{name}: not a torch file; fetch it again") from error
    return read_pickle_bytes(content, name)
