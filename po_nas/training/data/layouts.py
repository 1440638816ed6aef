"""The files of a data set, in whichever layout they are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from po_nas.errors import MissingImagesError
from po_nas.training.data.folders import class_folder, read_folder
from po_nas.training.data.idx import idx_files, read_idx
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images
from po_nas.training.data.parquet import parquet_files, read_parquet

__all__ = ["Split", "read_split"]

Split = Literal["train", "test"]


def read_split(kind: ImageSet, folder: Path, split: Split) -> Images:
    """The official training or test images of a data set, decoded.

    Parquet files (``train*.parquet``, also in subfolders), idx files or folders of image files. Raises
    `MissingImagesError` when there is none of them, `CorruptImageError` and `ClassCountError`.
    """
    names = ("train",) if split == "train" else kind.test
    if files := parquet_files(folder, names):
        return read_parquet(files, kind)
    if pair := idx_files(folder, split):
        return read_idx(pair, kind)
    if place := class_folder(folder, names):
        return read_folder(place, kind)
    raise MissingImagesError(
        kind.name, folder, f"holds no {split} images (no {names[0]}*.parquet or {names[0]}/)", kind.remedy
    )
