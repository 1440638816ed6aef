"""Images in the Hugging Face parquet layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import CorruptImageError, short
from po_nas.training.data.decoding import decode, pillow
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images

__all__ = ["parquet_files", "read_parquet"]

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
