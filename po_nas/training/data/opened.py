"""A data set that is ready to be trained on: training and validation images, and the test images when they are due."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from po_nas.errors import MissingExtraError
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images, stratified
from po_nas.training.data.layouts import image_folder, list_files, split_reader
from po_nas.training.data.loaders import ResidentLoader, StreamedLoader
from po_nas.training.recipe import Recipe

__all__ = ["ImageData", "Loader", "open_data"]

_DIGITS_TEST = 0.2
_DIGITS_MAXIMUM = 16


class Loader(Protocol):
    """Feeds images to a device; `ResidentLoader` and `StreamedLoader`."""

    def __len__(self) -> int:
        """Number of images."""

    def shuffled(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of training: augmented images (b, 3, h, w) and labels (b,)."""

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, as they are."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """`train` and `validation` are carved from the official training images; `test` opens the official test images
    when it is first called.

    `validation` is None when nothing is held out.
    """

    kind: ImageSet
    train: Loader
    validation: Loader | None
    test: Callable[[], Loader]


def open_data(
    kind: ImageSet,
    folder: Path | None,
    recipe: Recipe,
    *,
    device: torch.device,
    samples: int | None = None,
    workers: int = 0,
) -> ImageData:
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
    return ImageData(
        kind,
        ResidentLoader(kind, train[torch.from_numpy(first)], device, recipe.augmentation),
        ResidentLoader(kind, train[torch.from_numpy(second)], device) if len(second) else None,
        cache(lambda: ResidentLoader(kind, read_test(), device)),
    )


def _streamed(
    kind: ImageSet, folder: Path, recipe: Recipe, device: torch.device, samples: int | None, workers: int
) -> ImageData:
    test = image_folder(kind, folder, "test")
    files, labels = list_files(image_folder(kind, folder, "train"), kind)
    first, second = _rows(np.array(labels), recipe, samples)

    def loader(rows: Sequence[int], train: bool) -> StreamedLoader:
        chosen = [files[row] for row in rows], [labels[row] for row in rows]
        return StreamedLoader(kind, *chosen, device, recipe.augmentation if train else None, workers)

    return ImageData(
        kind,
        loader(first.tolist(), True),
        loader(second.tolist(), False) if len(second) else None,
        cache(lambda: StreamedLoader(kind, *list_files(test, kind), device, None, workers)),
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
