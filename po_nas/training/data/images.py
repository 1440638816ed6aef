"""Decoded images with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from po_nas.errors import ClassCountError
from po_nas.training.data.image_sets import ImageSet

__all__ = ["Images"]


@dataclass(frozen=True, eq=False)
class Images:
    """`pixels` (n, h, w, c) uint8 and `labels` (n,) int64, in the order of the files."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def checked(cls, kind: ImageSet, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Images:
        """Make images of arrays; `ClassCountError` unless every class of the data set, and no other, occurs."""
        found = np.unique(labels)
        if len(found) != kind.classes or found[0] != 0 or found[-1] != kind.classes - 1:
            described = f"{len(found)} labels from {found[0]} to {found[-1]}" if len(found) else "no image"
            raise ClassCountError(kind.name, kind.classes, described)
        return cls(
            torch.from_numpy(np.require(pixels, requirements=["C", "W"])), torch.from_numpy(labels.astype(np.int64))
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Images:
        """The images and labels at `rows` (n,), in that order."""
        return Images(self.pixels[rows], self.labels[rows])
