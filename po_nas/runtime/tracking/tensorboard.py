"""Scalars of a search for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from po_nas.core.objective import Outcome
from po_nas.core.trial import Trial
from po_nas.runtime.callbacks import Callback, Progress, RunInfo

__all__ = ["TensorBoardCallback"]


class TensorBoardCallback(Callback):
    """Writes validation, incumbent, regret and overhead per trial to ``DIR/tensorboard``."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "tensorboard"
        self._writer: SummaryWriter | None = None

    def on_start(self, info: RunInfo) -> None:
        """Open the event file; not before the run is known to be possible, and its directory held."""
        self._writer = SummaryWriter(str(self._folder))

    def on_tell(self, trial: Trial, outcome: Outcome, progress: Progress) -> None:
        if self._writer is None:
            return
        scalars = {
            "search/validation": outcome.validation,
            "search/incumbent": progress.incumbent_validation,
            "search/regret": progress.regret_validation,
            "search/overhead_s": progress.overhead_s,
            "search/cost_s": progress.cost_s,
        }
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(name, value, trial.number)

    def on_end(self, summary: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.close()
