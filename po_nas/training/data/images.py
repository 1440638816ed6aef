"""Decoded images with their labels, and splits that keep the share of every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from po_nas.errors import ClassCountError, ConfigError
from po_nas.training.data_sets import ImageSet

__all__ = ["Images", "stratified"]


@dataclass(frozen=True, eq=False)
class Images:
    """`pixels` (n, h, w, c) uint8 and `labels` (n,) int64, in the order of the files."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def checked(cls, kind: ImageSet, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Images:
        """Make images of arrays; `ClassCountError` unless every class of the data set, and no other, occurs."""
        found = np.unique(labels)
        if len(found) != kind.num_classes or found[0] != 0 or found[-1] != kind.num_classes - 1:
            described = f"{len(found)} labels from {found[0]} to {found[-1]}" if len(found) else "no image"
            raise ClassCountError(kind.name, kind.num_classes, described)
        return cls(
            torch.from_numpy(np.require(pixels, requirements=["C", "W"])), torch.from_numpy(labels.astype(np.int64))
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Tensor) -> Images:
        """The images and labels at `rows` (n,), in that order."""
        return Images(self.pixels[rows], self.labels[rows])


def stratified(
    labels: NDArray[np.int64], share: float, *, seed: int, name: str = "share"
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the larger and of the smaller part, both sorted; the smaller has round(share · n) of the n `labels` (n,).

    Every class gives its share, rounded so that the total is right (largest remainders first, ties to the lower class).
    A share of 0 gives an empty part. `seed` decides which rows. `ConfigError`, which calls the share `name`, for one
    outside 0 to below 1, or one that leaves a class without a row on either side.
    """
    if not 0 <= share < 1:
        raise ConfigError(name, share, "must be at least 0 and below 1")
    if share == 0:
        return np.arange(len(labels)), np.arange(0)
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * share
    taken = np.floor(exact).astype(int)
    missing = round(float(exact.sum())) - int(taken.sum())
    taken[np.argsort(taken - exact, kind="stable")[:missing]] += 1
    if (taken == 0).any() or (taken == counts).any():
        raise ConfigError(name, share, f"leaves a class without a sample on one side: the smallest has {counts.min()}")
    smaller = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, taken, strict=True)]
    )
    chosen = np.zeros(len(labels), bool)
    chosen[smaller] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
