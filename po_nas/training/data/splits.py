"""Splits that keep the share of every class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import ConfigError

__all__ = ["stratified"]


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
        raise ConfigError(name, share, f"leaves a class without an image: the smallest has {counts.min()} images")
    smaller = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, taken, strict=True)]
    )
    chosen = np.zeros(len(labels), bool)
    chosen[smaller] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
