"""Scalars of a search for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from po_nas.runtime.callbacks import RunInfo, ScalarCallback

__all__ = ["TensorBoardCallback"]


class TensorBoardCallback(ScalarCallback):
    """Writes validation, incumbent, regret and overhead per trial to ``DIR/tensorboard``."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "tensorboard"
        self._writer: SummaryWriter | None = None

    def on_start(self, info: RunInfo) -> None:
        """Open the event file; not before the run is known to be possible, and its directory held."""
        self._writer = SummaryWriter(str(self._folder))

    def log(self, values: Mapping[str, float], step: int, elapsed_s: float) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"search/{name}", value, step)

    def on_end(self, summary: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.close()
