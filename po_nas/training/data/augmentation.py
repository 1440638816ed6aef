"""Random changes to training images, made on the device for a whole batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["crops", "cut_out", "jitter", "mirrored", "normalised"]


def crops(padded: Tensor, rows: Tensor, pad: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crops of some images: rows (b,) of `padded` (n, h + 2 pad, w + 2 pad, c) to (b, h, w, c), in one gather.

    Each image is shifted by up to `pad` pixels each way and, with `flip`, mirrored with probability one half.
    """
    device, b = padded.device, len(rows)
    height, width = padded.shape[1] - 2 * pad, padded.shape[2] - 2 * pad
    top, left = torch.randint(2 * pad + 1, (2, b, 1), generator=generator, device=device)
    columns = torch.arange(width, device=device).expand(b, width)
    if flip:
        mirror = torch.rand(b, 1, generator=generator, device=device) < 0.5
        columns = torch.where(mirror, width - 1 - columns, columns)
    down = torch.arange(height, device=device) + top
    return padded[rows[:, None, None], down[:, :, None], (columns + left)[:, None, :]]


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (b, c, h, w), each mirrored with probability one half."""
    mirror = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(mirror, images.flip(-1), images)


def normalised(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (b, h, w, c) to float32 (b, 3, h, w), stored channels last; `mean` and `std` (c,) of pixels from 0 to 1.

    Grey images become three equal channels.
    """
    changed = (images.float().div_(255) - mean).div_(std).permute(0, 3, 1, 2)
    return changed.expand(-1, 3, -1, -1) if changed.shape[1] == 1 else changed


def cut_out(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Images (b, c, h, w) with a square of `size` pixels, anywhere in each image and clipped at its border, set to 0.

    Reference: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, arXiv
    1708.04552.
    """
    b, _, height, width = images.shape
    device = images.device
    y = torch.randint(height, (b, 1), generator=generator, device=device) - size // 2
    x = torch.randint(width, (b, 1), generator=generator, device=device) - size // 2
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    down, across = (rows >= y) & (rows < y + size), (columns >= x) & (columns < x + size)
    return images.masked_fill((down[:, :, None] & across[:, None, :])[:, None], 0.0)


def jitter(images: Tensor, strength: tuple[float, float, float, float], generator: torch.Generator) -> Tensor:
    """Random brightness, contrast, saturation and hue of images (b, 3, h, w) with values 0 to 1.

    Factors are uniform in 1 ± strength; hue is turned by up to ± strength of a full circle in the YIQ plane.
    """
    brightness, contrast, saturation, hue = strength
    draw = torch.rand(4, len(images), 1, 1, 1, generator=generator, device=images.device) * 2 - 1
    images = (images * (1 + brightness * draw[0])).clamp(0, 1)
    mean = _luma(images).mean((2, 3), keepdim=True)
    images = (mean + (images - mean) * (1 + contrast * draw[1])).clamp(0, 1)
    grey = _luma(images)
    images = (grey + (images - grey) * (1 + saturation * draw[2])).clamp(0, 1)
    return _turned(images, hue * draw[3]).clamp(0, 1) if hue else images


_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def _luma(images: Tensor) -> Tensor:
    weights = images.new_tensor(_YIQ[0]).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    to = images.new_tensor(_YIQ)
    y, i, q = torch.einsum("kc,bchw->bkhw", to, images).unbind(1)
    angle = 2 * torch.pi * turns[:, 0]
    cosine, sine = angle.cos(), angle.sin()
    turned = torch.stack([y, cosine * i - sine * q, sine * i + cosine * q], 1)
    return torch.einsum("ck,bkhw->bchw", torch.linalg.inv(to), turned)
