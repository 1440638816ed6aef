"""The handwritten digits that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch

from po_nas.errors import MissingExtraError
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images
from po_nas.training.data.splits import stratified

__all__ = ["read_digits"]

_TEST_SHARE = 0.2
_MAXIMUM = 16


def read_digits(kind: ImageSet) -> tuple[Images, Images]:
    """1,438 training and 359 test images of 8 × 8 pixels.

    There is no official test set; a fifth of each class, always the same, is ours. `MissingExtraError` without
    scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise MissingExtraError("the data set digits", "scikit-learn", "train") from None
    raw = load_digits()
    pixels = np.rint(raw.images * (255 / _MAXIMUM)).astype(np.uint8)[..., None]
    images = Images.checked(kind, pixels, raw.target.astype(np.int64))
    train, test = stratified(raw.target, _TEST_SHARE, seed=0)
    return images[torch.from_numpy(train)], images[torch.from_numpy(test)]
