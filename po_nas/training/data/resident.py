"""A whole data set in the memory of the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.training.data.augmentation import crops, cut_out, jitter, normalised
from po_nas.training.data.image_sets import ImageSet
from po_nas.training.data.images import Images
from po_nas.training.recipe import Augmentation

__all__ = ["ResidentLoader"]


class ResidentLoader:
    """Batches of images that lie on the device, augmented there.

    60,000 images of 32 × 32 take 184 MB; nothing is copied while training.
    """

    def __init__(
        self, kind: ImageSet, images: Images, device: torch.device, augmentation: Augmentation | None = None
    ) -> None:
        self._augmentation = augmentation or Augmentation()
        pad = self._augmentation.crop
        # Padding is black, as it is when images are cropped before they are normalised.
        self._pixels = functional.pad(images.pixels.to(device), (0, 0, pad, pad, pad, pad))
        self._labels = images.labels.to(device)
        self._mean, self._std = (torch.tensor(value, device=device) for value in (kind.mean, kind.std))
        self._device = device

    def __len__(self) -> int:
        return len(self._labels)

    def shuffled(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of augmented images (b, 3, h, w) and labels (b,) in a random order; `seed` decides everything.

        A last batch of a single image is left out, for batch normalisation has no use for it.
        """
        a = self._augmentation
        generator = torch.Generator(self._device)
        generator.manual_seed(seed)
        order = torch.randperm(len(self), generator=generator, device=self._device)
        for rows in torch.split(order, batch):
            if len(rows) < 2:
                return
            images = crops(self._pixels, rows, a.crop, a.flip, generator)
            x = normalised(images, self._mean, self._std)
            if any(a.jitter):
                x = self._jittered(x, generator)
            yield (cut_out(x, a.cutout, generator) if a.cutout else x), self._labels[rows]

    def _jittered(self, x: Tensor, generator: torch.Generator) -> Tensor:
        mean, std = self._mean.view(1, -1, 1, 1), self._std.view(1, -1, 1, 1)
        return (jitter(x * std + mean, self._augmentation.jitter, generator) - mean) / std

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images as they are, in the order of the files."""
        pad = self._augmentation.crop
        height, width = self._pixels.shape[1] - 2 * pad, self._pixels.shape[2] - 2 * pad
        inner = self._pixels[:, pad : pad + height, pad : pad + width]
        for images, labels in zip(torch.split(inner, batch), torch.split(self._labels, batch), strict=True):
            yield normalised(images, self._mean, self._std), labels
