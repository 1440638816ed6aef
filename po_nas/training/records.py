"""What a training tells about itself and leaves behind: a record an epoch, a result at the end, files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from po_nas.errors import MissingExtraError, TrainingStorageError
from po_nas.files import replace_file

__all__ = ["EpochRecord", "TrainingResult", "save", "tensorboard_writer", "write"]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch, counted from 1.

    Accuracies in % (that of training is on augmented images, while the weights change); `validation` is None when
    nothing is held out. `parts` is into how many parts batches were cut for want of memory. `seconds` are real ones,
    `train_s` those of training alone.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation: float | None
    learning_rate: float
    parts: int
    images: int
    train_s: float
    seconds: float

    def line(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A training from its first epoch to where it ended.

    `test_last` and `test_best` are test accuracies in % of the weights of the last epoch and of the epoch best by
    validation (None unless those were kept); the test images were looked at once, after the last epoch. `stopped` says
    why it ended early. `failed_checkpoints` counts those that could not be written.
    """

    curve: tuple[EpochRecord, ...]
    test_last: float | None
    test_best: float | None
    stopped: str | None
    failed_checkpoints: int

    @property
    def validated(self) -> Sequence[EpochRecord]:
        """The epochs with a validation accuracy."""
        return [record for record in self.curve if record.validation is not None]

    @property
    def last(self) -> float | None:
        """Validation accuracy of the last epoch, %."""
        return self.curve[-1].validation if self.curve else None

    @property
    def best(self) -> EpochRecord | None:
        """The epoch best by validation, the first of equals."""
        return max(self.validated, key=lambda r: -1.0 if r.validation is None else r.validation, default=None)

    @property
    def seconds(self) -> float:
        """Real seconds of all epochs, earlier sessions included."""
        return sum(record.seconds for record in self.curve)

    @property
    def images_per_s(self) -> float:
        """Training images per second, without validation."""
        spent = sum(record.train_s for record in self.curve)
        return sum(record.images for record in self.curve) / spent if spent else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-serialisable values."""
        best = self.best
        return {
            "epochs": len(self.curve),
            "validation_last": self.last,
            "validation_best": None if best is None else best.validation,
            "best_epoch": None if best is None else best.epoch,
            "test_last": self.test_last,
            "test_best": self.test_best,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "images_per_s": self.images_per_s,
            "parts": self.curve[-1].parts if self.curve else 1,
            "failed_checkpoints": self.failed_checkpoints,
            "curve": [asdict(record) for record in self.curve],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> TrainingResult:
        """The result that `to_dict` wrote; `KeyError` or `TypeError` for anything else."""
        curve = tuple(EpochRecord(**record) for record in value["curve"])
        return cls(curve, value["test_last"], value["test_best"], value["stopped"], value["failed_checkpoints"])


def tensorboard_writer(folder: Path | None) -> tuple[Callable[[EpochRecord], None], Callable[[], None]]:
    """A function that writes the record of an epoch below `folder`, and one that closes the file.

    Without a folder both do nothing. `MissingExtraError` without tensorboard.
    """
    if folder is None:
        return (lambda record: None), (lambda: None)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise MissingExtraError("tensorboard=true", "tensorboard", "track") from None
    # Epochs of earlier sessions are written again, so what follows the first of them is dropped.
    writer = SummaryWriter(str(folder), purge_step=1)

    def log(record: EpochRecord) -> None:
        scalars = {
            "train/loss": record.train_loss,
            "train/accuracy": record.train_accuracy,
            "train/learning_rate": record.learning_rate,
            "train/images_per_s": record.images / record.train_s if record.train_s else None,
            "validation/accuracy": record.validation,
        }
        for name, value in scalars.items():
            if value is not None:
                writer.add_scalar(name, value, record.epoch)

    def close() -> None:
        writer.close()

    return log, close


def write(path: Path, data: bytes | str) -> None:
    """Write `path` all at once; `TrainingStorageError` when the disk refuses, with what was there before kept."""
    try:
        replace_file(path, data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise TrainingStorageError(path, str(error.strerror)) from error


def save(path: Path, value: Any) -> None:
    """`torch.save`, all at once."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write(path, buffer.getvalue())
