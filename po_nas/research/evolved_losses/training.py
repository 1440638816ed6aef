"""One training of a small network under a loss, by the project's trainer."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from po_nas.errors import TrainingError
from po_nas.research.evolved_losses.config import Setting
from po_nas.research.evolved_losses.networks import build
from po_nas.training.data import TrainingData, image_set, locate, open_data
from po_nas.training.device import chosen_device
from po_nas.training.records import EpochRecord
from po_nas.training.trainer import Trainer

__all__ = ["Job", "Trained", "train"]

_VERSION = 1


@dataclass(frozen=True)
class Job:
    """`loss`: its name and hyper-parameters. `test`: all training images are trained on and the official test images
    are looked at, once, after the last epoch; otherwise no test image is read."""

    loss: Mapping[str, Any]
    setting: Setting
    dataset: str
    seed: int
    samples: int | None
    validation: float
    test: bool = False
    data: str | None = field(default=None, compare=False)
    device: str = field(default="cpu", compare=False)

    @property
    def key(self) -> dict[str, Any]:
        """What its result depends on."""
        found = dataclasses.asdict(self) | {
            "setting": self.setting.model_dump(mode="json", exclude={"label", "datasets", "rates"}),
            "version": _VERSION,
        }
        del found["data"], found["device"]
        return found | {"loss": dict(self.loss)}


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a job: accuracies in %, of the last epoch; `failure` says why there is none.

    `training` is on augmented images, while weights change. NaN: not measured.
    """

    training: float
    validation: float
    test: float
    epochs: int
    seconds: float
    failure: str

    @property
    def score(self) -> float:
        """The validation accuracy, NaN for a failure."""
        return float("nan") if self.failure else self.validation


def train(job: Job) -> Trained:
    """Train; a loss that is not finite or is stopped is a failure, anything else wrong is raised."""
    began = time.perf_counter()
    kind, setting = image_set(job.dataset), job.setting
    recipe = setting.recipe(kind, 0.0 if job.test else job.validation, job.loss)
    device = chosen_device(job.device)
    data = _data(job.dataset, job.data, job.samples, recipe.validation, setting.augmentation, device)
    if not job.test:
        # Nobody who selects may see the test images: the trainer looks at the validation images instead.
        validation = data.validation
        assert validation is not None
        data = dataclasses.replace(data, test=lambda: validation)

    def stop(record: EpochRecord) -> str | None:
        low = record.epoch == setting.at and record.train_metric < setting.least
        return f"{record.train_metric:.0f} % after {record.epoch} epochs" if low else None

    network = build(setting.network, kind, setting.channels, setting.layers, setting.dropout, job.seed)
    trainer = Trainer(network, data, recipe, seed=job.seed, device=device, stop=stop)
    nothing = float("nan")
    try:
        found = trainer.run()
    except TrainingError as error:
        return Trained(nothing, nothing, nothing, 0, time.perf_counter() - began, str(error))
    last = found.curve[-1]
    return Trained(
        training=last.train_metric,
        validation=nothing if last.validation is None else last.validation,
        test=found.test_last if job.test and found.test_last is not None else nothing,
        epochs=len(found.curve),
        seconds=time.perf_counter() - began,
        failure=found.stopped or "",
    )


@lru_cache(maxsize=16)
def _data(
    name: str, folder: str | None, samples: int | None, validation: float, regime: str, device: torch.device
) -> TrainingData:
    kind = image_set(name)
    recipe = Setting(augmentation=regime).recipe(kind, validation, "cross_entropy")
    return open_data(kind, locate(kind, folder), recipe, device=device, samples=samples)
