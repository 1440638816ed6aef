"""Images and labels in the idx files of MNIST and its successors."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import CorruptImageError
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images

__all__ = ["idx_files", "read_idx"]


def idx_files(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files of images and labels of ``train`` or ``test``, gzipped or not; None unless both are there."""
    prefix = "train" if split == "train" else "t10k"
    found = []
    for part in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        for name in (f"{prefix}-{part}.gz", f"{prefix}-{part}"):
            if (folder / name).is_file():
                found.append(folder / name)
                break
    return (found[0], found[1]) if len(found) == 2 else None


def read_idx(files: tuple[Path, Path], kind: ImageSet) -> Images:
    """Images and labels; `CorruptImageError` for a file that is cut off or none of this kind, `ClassCountError`."""
    pixels, labels = _array(files[0], 3), _array(files[1], 1)
    if pixels.shape != (len(labels), kind.size, kind.size):
        raise CorruptImageError(
            str(files[0]), f"holds {pixels.shape}, expected {len(labels)} of {kind.size} × {kind.size}"
        )
    return Images.checked(kind, pixels[..., None], labels.astype(np.int64))


def _array(path: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptImageError(str(path), f"cannot be read ({type(error).__name__})") from error
    head = 4 + 4 * dimensions
    if len(data) < head or data[:4] != bytes([0, 0, 8, dimensions]):
        raise CorruptImageError(str(path), f"is no idx file of {dimensions} dimensions")
    shape = np.frombuffer(data, ">u4", dimensions, 4).tolist()
    # Of Python's integers, whose product does not wrap round.
    announced = math.prod(shape)
    if len(data) - head != announced:
        raise CorruptImageError(str(path), f"holds {len(data) - head} bytes, {announced} are announced")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
