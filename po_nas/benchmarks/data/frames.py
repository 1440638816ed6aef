"""Pickled pandas frames, read without pandas: inert stand-ins that only keep what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.benchmarks.unpickle import DType, plain_shape, read_pickle_bytes
from po_nas.errors import DataError

__all__ = ["read_frame"]


class _Inert:
    """Keeps constructor arguments and state; no method of it does anything."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: Any) -> _Inert:
        made = super().__new__(cls)
        made.arguments = arguments
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Frame(_Inert):
    pass


class _Blocks(_Inert):
    pass


class _Range(_Inert):
    pass


class _Index(_Inert):
    pass


def _new_index(kind: type[_Inert], content: Mapping[str, Any]) -> _Inert:
    if not (isinstance(kind, type) and issubclass(kind, _Inert)):
        raise TypeError(f"{kind!r} is no index")
    return kind(content)


def _from_buffer(buffer: bytes, dtype: DType, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    real, (shape, count) = dtype.real, plain_shape(shape)
    if real.kind == "O" or len(buffer) != count * real.itemsize or order not in {"C", "F"}:
        raise ValueError("an array whose content does not fit its shape")
    return np.frombuffer(buffer, real).reshape(shape, order=order)


_PANDAS: Mapping[tuple[str, str], Any] = {
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _Blocks,
    ("pandas.core.indexes.range", "RangeIndex"): _Range,
    ("pandas.core.indexes.base", "Index"): _Index,
    ("pandas.core.indexes.base", "_new_Index"): _new_index,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("builtins", "slice"): slice,
}


def read_frame(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    """The columns of a pickled frame (pandas 1 layout), each an (n,) array, by name.

    Raises `UnsafePickleError` when the pickle asks for anything but a frame, and `DataError` when it is damaged.
    """
    frame = read_pickle_bytes(data, name, _PANDAS)
    try:
        _, blocks, indices, _ = (frame.state.get("_mgr") or frame.state["_data"]).state
        return {
            str(column): values
            for index, block in zip(indices, blocks, strict=True)
            for column, values in zip(index.arguments[0]["data"], block, strict=True)
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: not a pickled frame of the expected layout ({error}); fetch the file again"
        ) from error
