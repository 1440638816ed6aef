"""What a training tells about itself and leaves behind: a record an epoch, a result at the end, files."""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from po_nas.core.settings import renamed
from po_nas.errors import MissingExtraError, TrainingStorageError
from po_nas.files import replace_file

__all__ = ["EpochRecord", "TrainingResult", "finished", "result_name", "save", "tensorboard_writer", "write"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch, counted from 1.

    `train_metric` and `validation` are the metric of the task, an accuracy in % unless said otherwise (that of training
    is on augmented samples, while the weights change); `validation` is None when nothing is held out. `parts` is into
    how many parts batches were cut for want of memory. `seconds` are real ones, `train_s` those of training alone.
    """

    epoch: int
    train_loss: float
    train_metric: float
    validation: float | None
    learning_rate: float
    parts: int
    samples: int
    train_s: float
    seconds: float

    def line(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> EpochRecord:
        """The record of a line, also of one by version 0.1; `TypeError` for anything else."""
        return cls(**renamed(value, _OLD_FIELDS, warn=False))


_OLD_FIELDS = {"train_accuracy": "train_metric", "images": "samples"}


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A training from its first epoch to where it ended.

    `test_last` and `test_best` are the metric of test samples with the weights of the last epoch and of the epoch best
    by validation (None unless those were kept, and there are test samples); they were looked at once, after the last
    epoch. `stopped` says why it ended early. `failed_checkpoints` counts those that could not be written. `maximize`
    says whether more of the metric is better.
    """

    curve: tuple[EpochRecord, ...]
    test_last: float | None
    test_best: float | None
    stopped: str | None
    failed_checkpoints: int
    maximize: bool = True

    @property
    def validated(self) -> Sequence[EpochRecord]:
        """The epochs with a validation metric."""
        return [record for record in self.curve if record.validation is not None]

    @property
    def last(self) -> float | None:
        """Validation metric of the last epoch."""
        return self.curve[-1].validation if self.curve else None

    @property
    def best(self) -> EpochRecord | None:
        """The epoch best by validation, the first of equals."""
        sign = 1 if self.maximize else -1
        finite = [record for record in self.validated if math.isfinite(record.validation or 0)]
        return max(finite, key=lambda r: sign * (r.validation or 0), default=None)

    @property
    def seconds(self) -> float:
        """Real seconds of all epochs, earlier sessions included."""
        return sum(record.seconds for record in self.curve)

    @property
    def samples_per_s(self) -> float:
        """Training samples per second, without validation."""
        spent = sum(record.train_s for record in self.curve)
        return sum(record.samples for record in self.curve) / spent if spent else 0.0

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
            "samples_per_s": self.samples_per_s,
            "parts": self.curve[-1].parts if self.curve else 1,
            "failed_checkpoints": self.failed_checkpoints,
            "maximize": self.maximize,
            "curve": [asdict(record) for record in self.curve],
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> TrainingResult:
        """The result that `to_dict` wrote; `KeyError` or `TypeError` for anything else."""
        curve = tuple(map(EpochRecord.from_dict, value["curve"]))
        told = (value["test_last"], value["test_best"], value["stopped"], value["failed_checkpoints"])
        return cls(curve, *told, maximize=value.get("maximize", True))


def tensorboard_writer(
    folder: Path | None, measured: str = "accuracy"
) -> tuple[Callable[[EpochRecord], None], Callable[[], None]]:
    """A function that writes the record of an epoch below `folder`, and one that closes the file.

    `measured` names the metric. Without a folder both do nothing. `MissingExtraError` without tensorboard.
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
            f"train/{measured}": record.train_metric,
            "train/learning_rate": record.learning_rate,
            "train/samples_per_s": record.samples / record.train_s if record.train_s else None,
            f"validation/{measured}": record.validation,
        }
        for name, value in scalars.items():
            if value is not None:
                writer.add_scalar(name, value, record.epoch)

    def close() -> None:
        writer.close()

    return log, close


def result_name(epochs: int | None) -> str:
    """The file of the result of a training of so many epochs, None for all."""
    return "result.json" if epochs is None else f"result-{epochs}.json"


def finished(path: Path) -> tuple[TrainingResult, int] | None:
    """A result on record with the number of parameters, None where there is none or it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return TrainingResult.from_dict(value), int(value["parameters"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        _log.warning("%s is damaged; the training begins again", path)
        return None


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
