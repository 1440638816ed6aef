"""Ending trainings that have fallen behind: successive halving over epochs."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from po_nas.errors import TrainingStorageError
from po_nas.training.records import EpochRecord, write

__all__ = ["Halving", "Rungs"]

_log = logging.getLogger(__name__)


class Halving(BaseModel):
    """After `first`, `first` · `eta`, `first` · `eta`², … epochs the best 1 / `eta` of the trainings go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: PositiveInt = Field(1, description="epochs before the first comparison")
    eta: int = Field(3, ge=2, description="one training in so many goes on")

    def is_rung(self, epoch: int) -> bool:
        """Whether trainings are compared after `epoch` (from 1)."""
        rung = self.first
        while rung < epoch:
            rung *= self.eta
        return rung == epoch


class Rungs:
    """The validation metric of all trainings of a search at the epochs where they are compared.

    The asynchronous rule: nobody waits. A training goes on when it is among the best 1 / eta of those that have come to
    the rung so far, itself included, and while fewer than eta have. With a `folder`, workers in other processes and
    later sessions share what is known; without one it lives in this object. What comes out depends on the order in
    which trainings arrive; with one worker that is the order of the trials.

    Reference: Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys 2020, arXiv 1810.05934.
    """

    def __init__(self, halving: Halving, folder: Path | None, *, maximize: bool = True) -> None:
        self._halving, self._folder, self._sign = halving, folder, 1 if maximize else -1
        self._known: dict[int, dict[str, float]] = {}

    def stop(self, key: str, record: EpochRecord) -> str | None:
        """Enter the record of training `key`; a reason when the training is to end here."""
        if record.validation is None or not self._halving.is_rung(record.epoch):
            return None
        known = self._read(record.epoch)
        known.pop(key, None)
        self._enter(record.epoch, key, record.validation)
        reached = len(known) + 1
        if reached < self._halving.eta:
            return None
        better = sum(self._sign * value > self._sign * record.validation for value in known.values())
        if better < reached // self._halving.eta:
            return None
        return f"stopped after epoch {record.epoch}: {better} of {reached - 1} others were better there"

    def _read(self, epoch: int) -> dict[str, float]:
        if self._folder is None:
            return dict(self._known.get(epoch, {}))
        place = self._folder / str(epoch)
        found = {}
        for path in sorted(place.glob("*.txt")) if place.is_dir() else ():
            try:
                found[path.stem] = float(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                _log.warning("%s is not readable and is left out of the comparison", path)
        return found

    def _enter(self, epoch: int, key: str, value: float) -> None:
        self._known.setdefault(epoch, {})[key] = value
        if self._folder is None:
            return
        try:
            write(self._folder / str(epoch) / f"{key}.txt", repr(value))
        except TrainingStorageError as error:
            _log.warning("%s; later trainings are not compared with this one", error)
