"""Where the kernels for images stored channels last write past the end of their memory."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["corrupts_memory"]

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
