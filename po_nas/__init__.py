"""po-nas: budgeted Bayesian-optimisation search for neural architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from po_nas._version import __version__
from po_nas.errors import PoNasError
from po_nas.packages import check_packages

if TYPE_CHECKING:
    from po_nas.runtime.api import Result, resume, search
    from po_nas.runtime.imports.run import import_evaluations
    from po_nas.runtime.session import Session
    from po_nas.spaces.declared import Categorical, Float, Int, Ordinal, declare
    from po_nas.training.training import Training

__all__ = [
    "Categorical",
    "Float",
    "Int",
    "Ordinal",
    "PoNasError",
    "Result",
    "Session",
    "Training",
    "__version__",
    "declare",
    "import_evaluations",
    "resume",
    "search",
]


check_packages()


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import what is asked for on first use, so that ``import po_nas`` stays light."""
    if name in {"Session", "resume", "search"}:
        from po_nas.reports import searches

        return getattr(searches, name)
    if name == "Result":
        from po_nas.runtime.run_directory import Result

        return Result
    if name == "import_evaluations":
        from po_nas.runtime.imports.run import import_evaluations

        return import_evaluations
    if name == "Training":
        from po_nas.training.training import Training

        return Training
    if name in {"Categorical", "Float", "Int", "Ordinal", "declare"}:
        from po_nas.spaces import declared

        return getattr(declared, name)
    raise AttributeError(f"module 'po_nas' has no attribute {name!r}")
