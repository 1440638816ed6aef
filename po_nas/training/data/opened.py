"""Data that are ready to be trained on: training and validation samples, and the test samples when they are due."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from po_nas.errors import MissingExtraError
from po_nas.training.data.images import Images, stratified
from po_nas.training.data.layouts import image_folder, list_files, split_reader
from po_nas.training.data.loaders import ResidentLoader, StreamedLoader
from po_nas.training.data_sets import ImageSet
from po_nas.training.recipe import Recipe
from po_nas.training.task import Classification, Task

__all__ = ["ImageFiles", "Loader", "Shape", "TrainingData", "open_data"]

Shape = tuple[tuple[int, ...], torch.dtype]
"""Shape of one sample, without the batch, and type."""

_DIGITS_TEST = 0.2
_DIGITS_MAXIMUM = 16


class Loader(Protocol):
    """Feeds samples to a device."""

    def __len__(self) -> int:
        """Number of samples."""

    def shuffled(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of training: samples (b, …), augmented, and targets (b, …); `seed` decides everything."""

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All samples once, as they are."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training, validation and test samples.

    Attributes:
        train: What weights are fitted to.
        validation: None when nothing is held out. Of image sets it is carved from the official training images.
        test: Opens the test samples when it is called first; returns None where there are none.
        task: What the targets are.
    """

    train: Loader
    validation: Loader | None
    test: Callable[[], Loader | None]
    task: Task = field(default_factory=Classification)


@dataclass(frozen=True)
class ImageFiles:
    """Images of a data set that lie in `folder`; None: they come with a package."""

    kind: ImageSet
    folder: Path | None

    @property
    def name(self) -> str:
        """That of the set."""
        return self.kind.name

    @property
    def described(self) -> str:
        """The name, for a protocol."""
        return self.kind.name

    @property
    def options(self) -> dict[str, int]:
        """What networks are told of the data."""
        return self.kind.options

    @property
    def task(self) -> Task:
        """Classification."""
        return Classification(self.kind.num_classes)

    @property
    def shapes(self) -> tuple[Shape, Shape]:
        """Shapes and types of an image and of a label."""
        return ((3, self.kind.size, self.kind.size), torch.float32), ((), torch.int64)

    def check(self, recipe: Recipe, samples: int | None = None) -> None:
        """Refuse a recipe whose loss is none of classification; `ConfigError`. The images are not looked at."""
        self.task.loss(recipe)

    def open(self, recipe: Recipe, device: torch.device, samples: int | None, workers: int) -> TrainingData:
        """Read the images; see `open_data`."""
        return open_data(self.kind, self.folder, recipe, device=device, samples=samples, workers=workers)


def open_data(
    kind: ImageSet,
    folder: Path | None,
    recipe: Recipe,
    *,
    device: torch.device,
    samples: int | None = None,
    workers: int = 0,
) -> TrainingData:
    """Read a data set from `folder` and split its training images by class as the recipe says.

    `samples` keeps that many of the training images (before the split, every class its share). The official test images
    must be there, and are not opened here. Raises `MissingImagesError`, `CorruptImageError`, `ClassCountError`, and
    `ConfigError` for a share or number of images that leaves a class empty.
    """
    if kind.streamed:
        assert folder is not None
        return _streamed(kind, folder, recipe, device, samples, workers)
    if folder is None:
        train, digits = _read_digits(kind)

        def read_test() -> Images:
            return digits
    else:
        read_test = split_reader(kind, folder, "test")
        train = split_reader(kind, folder, "train")()

    first, second = _rows(train.labels.numpy(), recipe, samples)
    return TrainingData(
        ResidentLoader(kind, train[torch.from_numpy(first)], device, recipe.augmentation),
        ResidentLoader(kind, train[torch.from_numpy(second)], device) if len(second) else None,
        cache(lambda: ResidentLoader(kind, read_test(), device)),
        Classification(kind.num_classes),
    )


def _streamed(
    kind: ImageSet, folder: Path, recipe: Recipe, device: torch.device, samples: int | None, workers: int
) -> TrainingData:
    test = image_folder(kind, folder, "test")
    files, labels = list_files(image_folder(kind, folder, "train"), kind)
    first, second = _rows(np.array(labels), recipe, samples)

    def loader(rows: Sequence[int], train: bool) -> StreamedLoader:
        chosen = [files[row] for row in rows], [labels[row] for row in rows]
        return StreamedLoader(kind, *chosen, device, recipe.augmentation if train else None, workers)

    return TrainingData(
        loader(first.tolist(), True),
        loader(second.tolist(), False) if len(second) else None,
        cache(lambda: StreamedLoader(kind, *list_files(test, kind), device, None, workers)),
        Classification(kind.num_classes),
    )


def _rows(labels: NDArray[np.int64], recipe: Recipe, samples: int | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows for training and for validation."""
    kept = np.arange(len(labels))
    if samples is not None and samples < len(labels):
        _, kept = stratified(labels, samples / len(labels), seed=recipe.split_seed, name="share of samples")
    first, second = stratified(labels[kept], recipe.validation, seed=recipe.split_seed, name="recipe.validation")
    return kept[first], kept[second]


def _read_digits(kind: ImageSet) -> tuple[Images, Images]:
    """The handwritten digits that come with scikit-learn: 1,438 training and 359 test images of 8 × 8 pixels.

    There is no official test set; a fifth of each class, always the same, is ours. `MissingExtraError` without
    scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise MissingExtraError("the data set digits", "scikit-learn", "train") from None
    raw = load_digits()
    pixels = np.rint(raw.images * (255 / _DIGITS_MAXIMUM)).astype(np.uint8)[..., None]
    images = Images.checked(kind, pixels, raw.target.astype(np.int64))
    train, test = stratified(raw.target, _DIGITS_TEST, seed=0)
    return images[torch.from_numpy(train)], images[torch.from_numpy(test)]
