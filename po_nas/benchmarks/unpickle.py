"""Reading published pickles without running code: an unpickler with an allow-list."""

from __future__ import annotations

import io
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import DataError, UnsafePickleError, short

__all__ = ["NUMPY", "DType", "plain_shape", "read_frame", "read_packaged", "read_pickle_bytes"]

_KINDS = re.compile(r"([biuf])([1248])|([SU])([1-9][0-9]{0,4})|(O)8?")
_ORDERS = ("<", ">", "|", "=")
_LARGEST = 2**31


class DType:
    """Stands in for `numpy.dtype`, whose own way of taking a state believes all that it is told.

    Takes plain kinds alone: booleans, integers, floats, strings, and objects.
    """

    def __init__(self, kind: str, align: object = False, copy: object = False) -> None:
        found = _KINDS.fullmatch(kind) if isinstance(kind, str) else None
        if found is None:
            raise ValueError(f"a dtype {short(kind)}")
        self._kind, self._order = kind, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, subarray, names, fields, *_sizes = state
        if order not in _ORDERS or any(part is not None for part in (subarray, names, fields)):
            raise ValueError("a dtype that is not plain")
        self._order = order

    @property
    def real(self) -> np.dtype[Any]:
        """The dtype of numpy."""
        return np.dtype(self._kind if self._kind[0] == "O" else f"{self._order}{self._kind}")


class _Array(np.ndarray[Any, Any]):
    """An array that checks the state it is given."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, content = state
        real = dtype.real if isinstance(dtype, DType) else dtype
        shape, count = plain_shape(shape)
        if isinstance(content, list):
            sound = real.kind == "O" and len(content) == count
        else:
            sound = isinstance(content, bytes) and real.kind != "O" and len(content) == count * real.itemsize
        if not sound or not isinstance(fortran, (bool, int)):
            raise ValueError("an array whose content does not fit its shape")
        checked: Any = (1, shape, real, bool(fortran), content)
        super().__setstate__(checked)


def plain_shape(shape: Any) -> tuple[tuple[int, ...], int]:
    """A shape and its number of elements; `ValueError` for what is none."""
    if not (isinstance(shape, tuple) and all(type(size) is int and 0 <= size <= _LARGEST for size in shape)):
        raise ValueError(f"a shape {short(shape)}")
    return shape, math.prod(shape)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    """An empty array, to be filled by its state."""
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _scalar(dtype: DType, content: bytes) -> Any:
    """A number or string of numpy from its bytes."""
    real = dtype.real
    if real.kind == "O" or not isinstance(content, bytes) or len(content) != real.itemsize:
        raise ValueError("a scalar whose content does not fit its dtype")
    return np.frombuffer(content, real)[0]


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """Stand-ins for what pickled arrays and scalars name, under the module paths of numpy 1 and 2."""
    allowed: dict[tuple[str, str], Any] = {("numpy", "dtype"): DType, ("numpy", "ndarray"): "ndarray"}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed[module, "scalar"] = _scalar
        allowed[module, "_reconstruct"] = _reconstruct
    return allowed


NUMPY: Mapping[tuple[str, str], Any] = _numpy_globals()
"""What a pickle of plain containers, arrays and numpy scalars may ask for."""

_PLAIN: Mapping[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}


Stored = Callable[[Any], Any]
"""Gives what a pickle names and does not hold, by what it calls it."""


class _AllowListUnpickler(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, name: Path | str, allowed: Mapping[tuple[str, str], Any], stored: Stored | None
    ) -> None:
        super().__init__(file)
        self._name, self._allowed, self._stored = name, {**_PLAIN, **NUMPY, **allowed}, stored

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnsafePickleError(self._name, f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        if self._stored is not None:
            return self._stored(pid)
        raise UnsafePickleError(self._name, f"a persistent object {pid!r}")


def read_pickle_bytes(
    data: bytes, name: Path | str, allowed: Mapping[tuple[str, str], Any] = NUMPY, stored: Stored | None = None
) -> Any:
    """Unpickle `data` with nothing but plain containers, numpy arrays and the extra `allowed` globals.

    `allowed` maps (module, attribute) to the stand-in that is used, `stored` gives what the pickle refers to outside of
    itself (default: nothing may be). Raises `UnsafePickleError` when the pickle asks
    for anything else and `DataError` when it is damaged; in neither case has any of its code run.
    """
    try:
        return _AllowListUnpickler(io.BytesIO(data), name, allowed, stored).load()
    except UnsafePickleError:
        raise
    except Exception as error:
        raise DataError(f"{name}: damaged pickle ({type(error).__name__}: {error}); fetch the file again") from error


def read_packaged(resource: Traversable, distribution: str) -> Any:
    """`read_pickle_bytes` of a file that an installed `distribution` brings; `DataError` when it is not there."""
    try:
        data = resource.read_bytes()
    except OSError as error:
        raise DataError(f"{resource}: cannot be read ({error.strerror}); reinstall {distribution}") from error
    return read_pickle_bytes(data, str(resource))


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
