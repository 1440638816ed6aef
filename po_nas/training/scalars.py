"""Learning curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from po_nas.errors import MissingExtraError
from po_nas.training.records import EpochRecord

__all__ = ["tensorboard_writer"]


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
