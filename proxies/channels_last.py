"""Where the kernels for images stored channels last write past the end of their memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from proxies.operators import Call

__all__ = ["avoid_channels_last", "corrupts_memory"]

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


def avoid_channels_last(call: Call) -> None:
    """Store the images of a convolution in the common way where `corrupts_memory` says so."""
    images, weight, stride = call.get(0, "input"), call.get(1, "weight"), call.get(3, "stride")
    if images.device.type == "cpu" and images.dim() == 4 and corrupts_memory(weight.shape, stride or 1):
        call.put(0, "input", _in_the_common_way(images))
        call.put(1, "weight", _in_the_common_way(weight))


def _in_the_common_way(tensor: Tensor) -> Tensor:
    """The tensor with the strides of a new one.

    With height and width 1 a tensor is contiguous whichever way it is stored, and torch goes by the strides: either
    tensor that looks stored channels last makes the convolution run so.
    """
    strides = torch.empty(tensor.shape, device="meta").stride()
    return tensor if tensor.stride() == strides else tensor.clone(memory_format=torch.contiguous_format)
