"""The files of a data set, in whichever layout they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from po_nas.errors import MissingImagesError
from po_nas.training.data.folders import class_folder, read_folder
from po_nas.training.data.idx import idx_files, read_idx
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images
from po_nas.training.data.parquet import parquet_files, read_parquet

__all__ = ["Split", "image_folder", "split_reader"]

Split = Literal["train", "test"]


def split_reader(kind: ImageSet, folder: Path, split: Split) -> Callable[[], Images]:
    """A function that reads and decodes the official training or test images of a data set; nothing is read yet.

    Parquet files (``train*.parquet``, also in subfolders), idx files or folders of image files. Raises
    `MissingImagesError` when there is none of them; the function raises `CorruptImageError` and `ClassCountError`.
    """
    names = _names(kind, split)
    if files := parquet_files(folder, names):
        return partial(read_parquet, files, kind)
    if pair := idx_files(folder, split):
        return partial(read_idx, pair, kind)
    if place := class_folder(folder, names):
        return partial(read_folder, place, kind)
    raise MissingImagesError(
        kind.name, folder, f"holds no {split} images (no {names[0]}*.parquet or {names[0]}/)", kind.remedy
    )


def image_folder(kind: ImageSet, folder: Path, split: Split) -> Path:
    """The folder of the image files of a split of a streamed set; raises `MissingImagesError`."""
    names = _names(kind, split)
    place = class_folder(folder, names)
    if place is None:
        raise MissingImagesError(kind.name, folder, f"holds no folder {' or '.join(names)}", kind.remedy)
    return place


def _names(kind: ImageSet, split: Split) -> Sequence[str]:
    return ("train",) if split == "train" else kind.test
