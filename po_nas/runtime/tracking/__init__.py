"""Callbacks that show or store the progress of a search; none is imported unless named."""

from __future__ import annotations

import importlib
from pathlib import Path

from po_nas.errors import MissingExtraError, UnknownNameError
from po_nas.runtime.callbacks import Callback

__all__ = ["TRACKERS", "make"]

TRACKERS = {
    "console": ("console:ConsoleCallback", None),
    "tensorboard": ("tensorboard:TensorBoardCallback", "tensorboard"),
    "mlflow": ("mlflow:MLflowCallback", "mlflow"),
}


def make(name: str, directory: Path) -> Callback:
    """The callback called `name`, writing below `directory`.

    Raises `UnknownNameError`, or `MissingExtraError` that says what to install.
    """
    if name not in TRACKERS:
        raise UnknownNameError("tracking callback", name, TRACKERS)
    target, package = TRACKERS[name]
    module, _, attribute = target.partition(":")
    if package is not None:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            raise MissingExtraError(f"tracking={name}", package, "track") from None
    callback = getattr(importlib.import_module(f"po_nas.runtime.tracking.{module}"), attribute)(directory)
    assert isinstance(callback, Callback)
    return callback
