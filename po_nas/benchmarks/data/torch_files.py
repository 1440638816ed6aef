"""Files that ``torch.save`` wrote, read without torch and without running their code."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.unpickle import plain_shape, read_pickle_bytes
from po_nas.errors import DataError

__all__ = ["read_torch_file", "read_torch_weights"]

_STORAGES = {"FloatStorage": "<f4"}
"""Kinds of numbers that are read, by the name of their storage."""


def read_torch_file(data: bytes, name: str) -> Any:
    """The object in a file that ``torch.save`` wrote.

    Only numbers, strings, lists and dictionaries are read: a tensor, or anything else that is named by a global or by
    a storage, raises `UnsafePickleError`; a damaged file raises `DataError`.
    """
    with _opened(data, name) as (archive, member):
        return read_pickle_bytes(archive.read(member), name)


def read_torch_weights(data: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """The weights in a file of a state dict, by name: arrays of single precision, each in the order of its storage.

    Nothing but tensors of single precision and plain containers is read; anything else raises `UnsafePickleError`, a
    damaged file, or one of other numbers, raises `DataError`.
    """
    with _opened(data, name) as (archive, member):
        folder = member.removesuffix("data.pkl")

        def storage(pid: Any) -> NDArray[np.float32]:
            kind, dtype, key, _, count = pid
            if kind != "storage" or not (isinstance(key, str) and key.isdecimal()):
                raise ValueError("a storage that is none")
            numbers = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
            if len(numbers) != count:
                raise ValueError("a storage of another length")
            return numbers

        allowed: dict[tuple[str, str], Any] = {("torch", kind): dtype for kind, dtype in _STORAGES.items()}
        allowed["torch._utils", "_rebuild_tensor_v2"] = _tensor
        found = read_pickle_bytes(archive.read(member), name, allowed, storage)
    if not isinstance(found, Mapping) or not all(isinstance(value, np.ndarray) for value in found.values()):
        raise DataError(f"{name}: no file of weights; fetch it again")
    return {str(key): value for key, value in found.items()}


def _tensor(numbers: NDArray[np.float32], offset: int, shape: Any, strides: Any, *_: Any) -> NDArray[np.float32]:
    """What a state dict's tensor is made of; those that are no plain array from the beginning of their storage fail."""
    shape, count = plain_shape(shape)
    contiguous = tuple(int(np.prod(shape[at + 1 :])) for at in range(len(shape)))
    if not isinstance(numbers, np.ndarray) or offset != 0 or strides != contiguous or len(numbers) != count:
        raise ValueError("a tensor that is not stored plainly")
    return numbers.reshape(shape)


@contextmanager
def _opened(data: bytes, name: str) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """The archive that a file is, and the name of its pickle."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield archive, next(n for n in archive.namelist() if n.endswith("/data.pkl"))
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DataError(f"{name}: not a torch file; fetch it again") from error
