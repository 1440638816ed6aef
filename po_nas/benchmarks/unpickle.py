"""Reading published pickles without running code: an unpickler with an allow-list."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from po_nas.errors import DataError, UnsafePickleError

__all__ = ["NUMPY", "read_packaged", "read_pickle_bytes"]


def _numpy_globals() -> dict[tuple[str, str], Any]:
    """The constructors that pickled arrays and scalars name, under the module paths of numpy 1 and 2."""
    scalar = np.float64(0).__reduce__()[0]
    reconstruct = np.zeros(0).__reduce__()[0]
    allowed: dict[tuple[str, str], Any] = {("numpy", "dtype"): np.dtype, ("numpy", "ndarray"): np.ndarray}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed[module, "scalar"] = scalar
        allowed[module, "_reconstruct"] = reconstruct
    return allowed


NUMPY: Mapping[tuple[str, str], Any] = _numpy_globals()
"""What a pickle of plain containers, arrays and numpy scalars may ask for."""

_PLAIN: Mapping[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}


class _AllowListUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: Path | str, allowed: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(file)
        self._name, self._allowed = name, {**_PLAIN, **NUMPY, **allowed}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnsafePickleError(self._name, f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickleError(self._name, f"a persistent object {pid!r}")


def read_pickle_bytes(data: bytes, name: Path | str, allowed: Mapping[tuple[str, str], Any] = NUMPY) -> Any:
    """Unpickle `data` with nothing but plain containers, numpy arrays and the extra `allowed` globals.

    `allowed` maps (module, attribute) to the stand-in that is used. Raises `UnsafePickleError` when the pickle asks
    for anything else and `DataError` when it is damaged; in neither case has any of its code run.
    """
    try:
        return _AllowListUnpickler(io.BytesIO(data), name, allowed).load()
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
