"""Checkpoints of a training: enough to go on as if it had never stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from po_nas.errors import TrainingCheckpointError, TrainingStorageError
from po_nas.training.files import save

__all__ = ["Checkpoints"]

_log = logging.getLogger(__name__)
_VERSION = 1


class Checkpoints:
    """The one checkpoint of a training in `folder` (None: none is kept); `identity` says which training it is of.

    A checkpoint that cannot be written (disk full) is counted in `failed` and logged; the training goes on, and the one
    before stays.
    """

    def __init__(self, folder: Path | None, identity: str) -> None:
        self.path = None if folder is None else folder / "checkpoint.pt"
        self._identity = identity
        self.failed = 0

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint."""
        if self.path is None:
            return
        try:
            save(self.path, {"version": _VERSION, "identity": self._identity, "state": state})
        except TrainingStorageError as error:
            self.failed += 1
            _log.warning("%s; the training goes on without this checkpoint", error)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state, its tensors on `device`; None when there is none.

        Nothing in the file is executed. `TrainingCheckpointError` for a damaged one and one of another training.
        """
        if self.path is None or not self.path.is_file():
            return None
        try:
            found = torch.load(self.path, map_location=device, weights_only=True)
            state = found["state"]
        except Exception as error:
            # A torn file can make the reader stumble anywhere.
            raise TrainingCheckpointError(self.path, f"is damaged ({type(error).__name__})") from error
        if found.get("version") != _VERSION or found.get("identity") != self._identity:
            raise TrainingCheckpointError(self.path, "belongs to a training with other settings")
        assert isinstance(state, dict)
        return state

    def remove(self) -> None:
        """Delete the checkpoint of a training that is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
