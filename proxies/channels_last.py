"""Where the kernels for images stored channels last are wrong on CPUs: they corrupt memory, or mix layouts up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["corrupts_memory", "for_convolution", "mixes_layouts"]

_VECTOR = 8
"""Channels in one AVX2 vector of float32."""


def corrupts_memory(weight_shape: Sequence[int], stride: int | Sequence[int]) -> bool:
    """Whether a two-dimensional convolution must not be differentiated with images stored channels last.

    On processors with AVX2 and without AVX-512, the backward pass of a 1 × 1 convolution with a stride and 2 to 7 input
    channels writes past the end of its memory (torch 2.13, float32, one thread, whatever the number of output channels;
    found with a guard page after every tensor). `weight_shape` is (outputs, inputs / groups, height, width). The answer
    does not depend on the processor, so that the same numbers come out on all of them.
    """
    steps = (stride,) if isinstance(stride, int) else tuple(stride)
    small = tuple(weight_shape[2:]) == (1, 1) and weight_shape[1] < _VECTOR
    return small and any(step != 1 for step in steps)


def for_convolution(images: Tensor, weight: Tensor, stride: int | Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images and weight of a convolution, stored in the common way where `corrupts_memory` says so."""
    if images.device.type == "cpu" and images.dim() == 4 and corrupts_memory(weight.shape, stride):
        return _in_the_common_way(images), _in_the_common_way(weight)
    return images, weight


def mixes_layouts(images: Tensor) -> bool:
    """Whether batch or instance normalisation must not be differentiated by positions in more than one dimension.

    With one image, the backward pass of batch normalisation is wrong where either of input and gradient is stored
    channels last and the other is not (torch 2.13, all precisions; instance normalisation runs on it). Sequences have
    no such layout.
    """
    return images.dim() >= 4 and len(images) == 1


def _in_the_common_way(tensor: Tensor) -> Tensor:
    """The tensor with the strides of a new one.

    With height and width 1 a tensor is contiguous whichever way it is stored, and torch goes by the strides: either
    tensor that looks stored channels last makes the convolution run so.
    """
    strides = torch.empty(tensor.shape, device="meta").stride()
    return tensor if tensor.stride() == strides else tensor.clone(memory_format=torch.contiguous_format)
