"""Images as files in one folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from po_nas.errors import ClassCountError
from po_nas.training.data.decoding import SUFFIXES, decode, pillow
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images

__all__ = ["class_folder", "list_files", "read_folder"]


def class_folder(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of the folders ``folder/NAME`` that there is."""
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def list_files(folder: Path, kind: ImageSet) -> tuple[list[Path], list[int]]:
    """Image files below ``folder/CLASS/`` and their labels; classes are numbered in the order of their names.

    Raises `ClassCountError` when the folders that hold images are not as many as the data set has classes.
    """
    files: list[Path] = []
    labels: list[int] = []
    number = 0
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        inside = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
        files += inside
        labels += [number] * len(inside)
        number += bool(inside)
    if number != kind.classes:
        raise ClassCountError(kind.name, kind.classes, f"{number} folders with images in {folder}")
    return files, labels


def read_folder(folder: Path, kind: ImageSet) -> Images:
    """All images below ``folder/CLASS/``; raises `CorruptImageError` and `ClassCountError`."""
    pillow()
    files, labels = list_files(folder, kind)
    pixels = np.stack([decode(path, kind, str(path)) for path in files])
    return Images.checked(kind, pixels, np.array(labels, np.int64))
