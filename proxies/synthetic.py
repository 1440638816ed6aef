"""Made-up images that anybody can draw again, for scoring networks without a data set."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from po_nas.errors import ConfigError
from po_nas.registry import takes_old_names
from proxies.batch import Batch

__all__ = ["synthetic_images"]

_SHARED, _PATTERN = 0.35, 0.6
"""Strength of what is not common to the channels, and of what is common to a class; that of natural images is 1."""


@takes_old_names(classes="num_classes")
def synthetic_images(samples: int, num_classes: int = 10, size: int = 32, channels: int = 3, seed: int = 0) -> Batch:
    """A batch of standardised images (samples, channels, size, size) and labels 0 … num_classes − 1 in turn.

    White noise has none of the correlations between neighbouring pixels, channels and samples of a class that scores of
    activation patterns and of input gradients respond to. These images have the power spectrum of natural ones,
    amplitude ∝ 1 / frequency, most of it common to the channels, and each class has a pattern of its own.

    Reference: Field, Relations between the statistics of natural images and the response properties of cortical cells,
    J. Opt. Soc. Am. A 4(12), 1987 (the spectrum).

    Args:
        samples: Number of images.
        num_classes: Number of classes.
        size: Height and width in pixels.
        channels: Number of channels.
        seed: Decides everything; the same numbers come out on every machine up to rounding.

    Returns:
        Images, float32, and labels, int64.

    Raises:
        ConfigError: For a number below 1.

    Examples:
        >>> import proxies
        >>> batch = proxies.synthetic_images(4, num_classes=2, size=8)
        >>> batch.inputs[0].shape, batch.labels.tolist()
        (torch.Size([4, 3, 8, 8]), [0, 1, 0, 1])
    """
    for name, value in (("samples", samples), ("num_classes", num_classes), ("size", size), ("channels", channels)):
        if value < 1:
            raise ConfigError(name, value, "must be at least 1")
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % num_classes
    patterns = _natural(min(num_classes, samples), channels, size, rng)
    images = _natural(samples, channels, size, rng) + _PATTERN * patterns[labels]
    images /= images.std()
    return Batch((torch.from_numpy(images.astype(np.float32)),), torch.from_numpy(labels))


def _natural(count: int, channels: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    # The mean of an image has a finite share, like the lowest frequency.
    frequencies[0, 0] = 1 / size
    grey, colour = (rng.normal(size=(count, depth, size, size)) for depth in (1, channels))
    spectrum = np.fft.fft2(grey + _SHARED * colour) / frequencies
    images: NDArray[np.float64] = np.fft.ifft2(spectrum).real
    images /= images.std()
    return images
