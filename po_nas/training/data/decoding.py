"""One encoded image to pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import CorruptImageError, MissingExtraError
from po_nas.training.data.image_sets import ImageSet

__all__ = ["SUFFIXES", "decode", "pillow"]

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
