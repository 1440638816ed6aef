"""Where the images of a data set lie, and how they are read: parquet files, idx files, or folders of image files."""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import ClassCountError, CorruptImageError, MissingExtraError, MissingImagesError, short
from po_nas.training.data.images import Images
from po_nas.training.data_sets import ImageSet

__all__ = ["Split", "image_folder", "list_files", "locate", "split_reader"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def pillow() -> None:
    """Raise `MissingExtraError` unless Pillow is installed."""
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("reading images", "pillow", "train") from None


def decode(data: bytes | Path, kind: ImageSet, where: str) -> NDArray[np.uint8]:
    """Pixels (size, size, channels) of a PNG, JPEG, … of the data set; `where` names the image in messages.

    Raises `CorruptImageError` for what is no image, is cut off, or has another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data) as image:
            pixels = np.asarray(image.convert("L" if kind.channels == 1 else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CorruptImageError(where, f"cannot be decoded ({type(error).__name__})") from error
    if pixels.shape[:2] != (kind.size, kind.size):
        size = f"{pixels.shape[0]} × {pixels.shape[1]} pixels"
        raise CorruptImageError(where, f"is {size}, expected {kind.size} × {kind.size}")
    return pixels.reshape(kind.size, kind.size, kind.channels)


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
    if number != kind.num_classes:
        raise ClassCountError(kind.name, kind.num_classes, f"{number} folders with images in {folder}")
    return files, labels


def read_folder(folder: Path, kind: ImageSet) -> Images:
    """All images below ``folder/CLASS/``; raises `CorruptImageError` and `ClassCountError`."""
    pillow()
    files, labels = list_files(folder, kind)
    pixels = np.stack([decode(path, kind, str(path)) for path in files])
    return Images.checked(kind, pixels, np.array(labels, np.int64))


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


_IMAGE = ("img", "image")


def parquet_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of a split in `folder` or below: ``train-00000-of-00002.parquet`` and the like, sorted."""
    for name in names:
        found = sorted(path for path in folder.rglob(f"{name}*.parquet") if path.is_file())
        if found:
            return found
    return []


def read_parquet(files: Sequence[Path], kind: ImageSet) -> Images:
    """All images of some parquet files: a column of encoded images (bytes, or a struct of bytes and path), and labels.

    Raises `CorruptImageError` for a damaged file, a missing column or an image that cannot be decoded, and
    `ClassCountError`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pillow()
    pixels: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                present = file.schema_arrow.names
                image, label = (_column(path, present, wanted) for wanted in (_IMAGE, kind.label))
                for batch in file.iter_batches(batch_size=1000, columns=[image, label], use_threads=False):
                    column = batch.column(image)
                    encoded = column.field("bytes") if pa.types.is_struct(column.type) else column
                    for data, number in zip(encoded.to_pylist(), batch.column(label).to_pylist(), strict=True):
                        where = f"{path}, image {len(pixels)}"
                        if not isinstance(data, bytes):
                            raise CorruptImageError(where, f"holds {type(data).__name__}, expected encoded bytes")
                        if not isinstance(number, int):
                            raise CorruptImageError(where, f"has the label {short(number)}, expected an integer")
                        pixels.append(decode(data, kind, where))
                        labels.append(int(number))
        except CorruptImageError:
            raise
        except (OSError, ValueError, OverflowError, KeyError, pa.ArrowException) as error:
            raise CorruptImageError(str(path), f"is no readable parquet file ({type(error).__name__})") from error
    shape = (len(pixels), kind.size, kind.size, kind.channels)
    return Images.checked(kind, np.array(pixels, np.uint8).reshape(shape), np.array(labels, np.int64))


def _column(path: Path, present: Sequence[str], wanted: Sequence[str]) -> str:
    for name in wanted:
        if name in present:
            return name
    raise CorruptImageError(str(path), f"has no column {' or '.join(wanted)}, only {', '.join(present)}")


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


_SYSTEM = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where Debian's package puts them."""


def locate(kind: ImageSet, chosen: str | None = None) -> Path | None:
    """The folder of a data set, None for one that comes with a package.

    `chosen`, else ``PO_NAS_IMAGES/NAME``, else the folder ``images/NAME`` of the cache of public data, else where a
    system package puts it. Raises `MissingImagesError`, which says what to do, also where training or test images are
    missing: better now than after the first training.
    """
    folder = _folder(kind, chosen)
    if folder is not None:
        splits: tuple[Split, ...] = ("train", "test")
        for split in splits:
            (image_folder if kind.streamed else split_reader)(kind, folder, split)
    return folder


def _folder(kind: ImageSet, chosen: str | None) -> Path | None:
    if kind.name == "digits":
        return None
    if chosen is not None:
        folder = Path(chosen).expanduser().absolute()
        if not folder.is_dir():
            raise MissingImagesError(kind.name, folder, "is no folder", kind.remedy)
        return folder
    from po_nas.benchmarks.data.files import cache_folder

    root = os.environ.get("PO_NAS_IMAGES")
    places = [Path(root).expanduser().absolute() / kind.name] if root else []
    places.append(cache_folder() / "images" / kind.name)
    if kind.name in _SYSTEM:
        places.append(_SYSTEM[kind.name])
    for place in places:
        if place.is_dir():
            return place
    raise MissingImagesError(kind.name, places[0], "does not exist", kind.remedy)
