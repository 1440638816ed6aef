"""A whole data set in the memory of the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from po_nas.errors import CorruptImageError
from po_nas.training.data.augmentation import crops, cut_out, jitter, mirrored, normalised
from po_nas.training.data.images import Images
from po_nas.training.data_sets import ImageSet
from po_nas.training.recipe import Augmentation

__all__ = ["ResidentLoader", "StreamedLoader", "shuffled_rows"]


def shuffled_rows(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """The numbers of `count` samples in a random order, `batch` at a time, on the device of the generator.

    A last batch of a single sample is left out, for batch normalisation has no use for it.
    """
    for rows in torch.split(torch.randperm(count, generator=generator, device=generator.device), batch):
        if len(rows) < 2:
            return
        yield rows


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
        """One epoch of augmented images (b, 3, h, w) and labels (b,) as `shuffled_rows` says; `seed` decides it."""
        a = self._augmentation
        generator = torch.Generator(self._device).manual_seed(seed)
        for rows in shuffled_rows(len(self), batch, generator):
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


_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_RESIZED = 256 / 224
"""The shorter side of an image that is validated on, as a multiple of the size that is cut from its centre."""


class _Files(Dataset[tuple[Tensor, int]]):
    """Decoded and cropped files; the crop of a training image depends on (seed, its number) alone."""

    def __init__(self, files: Sequence[Path], labels: Sequence[int], size: int, seed: int | None) -> None:
        self._files, self._labels, self._size, self._seed = files, labels, size, seed

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        from PIL import Image

        path = self._files[number]
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise CorruptImageError(str(path), f"cannot be decoded ({type(error).__name__})") from error
        box = self._centre(*image.size) if self._seed is None else self._random(number, *image.size)
        cropped = image.resize((self._size, self._size), Image.Resampling.BILINEAR, box)
        return torch.from_numpy(np.asarray(cropped, np.uint8).copy()), self._labels[number]

    def _centre(self, width: int, height: int) -> tuple[float, float, float, float]:
        side = min(width, height) / _RESIZED
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def _random(self, number: int, width: int, height: int) -> tuple[float, float, float, float]:
        rng = np.random.default_rng((self._seed or 0, number))
        for _ in range(10):
            area = width * height * rng.uniform(*_AREA)
            aspect = np.exp(rng.uniform(*np.log(_ASPECT)))
            w, h = float(np.sqrt(area * aspect)), float(np.sqrt(area / aspect))
            if w <= width and h <= height:
                left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side


class StreamedLoader:
    """Batches of image files: random resized crops for training, the centre for validation.

    Files are decoded and cropped by `workers` processes (0: this one), the rest happens on the device.
    """

    def __init__(
        self,
        kind: ImageSet,
        files: Sequence[Path],
        labels: Sequence[int],
        device: torch.device,
        augmentation: Augmentation | None = None,
        workers: int = 0,
    ) -> None:
        self._kind, self._files, self._labels, self._device = kind, files, labels, device
        self._augmentation, self._workers = augmentation or Augmentation(), workers
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (kind.mean, kind.std))

    def __len__(self) -> int:
        return len(self._files)

    def _loader(self, batch: int, seed: int | None, order: Sequence[int]) -> Iterator[Any]:
        files = _Files(self._files, self._labels, self._kind.size, seed)
        batches = [list(order[start : start + batch]) for start in range(0, len(order), batch)]
        # The loader draws a seed for its processes, which is not to come from the global generator.
        return iter(
            DataLoader(
                files,
                batch_sampler=batches,
                num_workers=self._workers,
                pin_memory=self._device.type == "cuda",
                generator=torch.Generator().manual_seed(seed or 0),
            )
        )

    def _moved(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(self._device, non_blocking=True).float().div_(255).permute(0, 3, 1, 2)
        return images, labels.to(self._device, non_blocking=True)

    def shuffled(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of augmented images (b, 3, h, w) and labels (b,) in a random order; `seed` decides everything."""
        a = self._augmentation
        generator = torch.Generator(self._device)
        generator.manual_seed(seed)
        order = np.random.default_rng(seed).permutation(len(self)).tolist()
        for raw, numbers in self._loader(batch, seed, order):
            if len(numbers) < 2:
                return
            images, labels = self._moved(raw, numbers)
            images = mirrored(images, generator) if a.flip else images
            images = jitter(images, a.jitter, generator) if any(a.jitter) else images
            images = (images - self._mean) / self._std
            yield (cut_out(images, a.cutout, generator) if a.cutout else images), labels

    def in_order(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The centre of every image, in the order of the files."""
        for raw, numbers in self._loader(batch, None, range(len(self))):
            images, labels = self._moved(raw, numbers)
            yield (images - self._mean) / self._std, labels
