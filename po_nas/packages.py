"""The packages `losses`, `proxies` and `surrogates`, which are parts of this one: whether Python finds them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from po_nas.errors import PoNasError

__all__ = ["ShadowedPackageError", "check_packages"]

_NAMES = ("losses", "proxies", "surrogates")
_HOME = Path(__file__).resolve().parents[1]


class ShadowedPackageError(PoNasError, ImportError):
    """Python finds a file of the user's, or nothing, in place of a package that belongs to this one.

    `package` is its name, `file` what is found, None where nothing is.
    """

    def __init__(self, package: str, path: Path | None) -> None:
        self.package, self.file = package, path
        if path is None:
            said = f"the package {package!r} of po-nas is not found in {_HOME}; install po-nas again"
        else:
            said = (
                f"{path} has the name of the package {package!r} of po-nas, which needs it; rename the file, or start "
                "Python with -P and import the file by a path"
            )
        super().__init__(said)


def check_packages() -> None:
    """Raise `ShadowedPackageError` unless all packages of this distribution are those that Python finds."""
    for name in _NAMES:
        found = _place(name)
        if found is None or found.resolve().parent != _HOME / name:
            raise ShadowedPackageError(name, found)


def _place(name: str) -> Path | None:
    """The file behind a name, imported or not."""
    if name in sys.modules:
        told = getattr(sys.modules[name], "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        told = None if spec is None else spec.origin
    return None if told is None else Path(told)
