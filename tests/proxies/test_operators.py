"""Calls of functions: what their kernels get wrong is avoided."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from proxies.operators import Call


def stored(images):
    """The same images, stored in the common way, channels last, and as patches times a matrix leave them."""
    count, channels, height, width = images.shape
    yield images.clone(memory_format=torch.contiguous_format)
    yield images.clone(memory_format=torch.channels_last)
    rows = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).reshape(count, -1, channels)
    yield rows.mT.unflatten(2, (height, width))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("function", [functional.batch_norm, functional.instance_norm])
def test_normalisation_has_one_gradient_however_images_are_stored(function, by_batch, count):
    draw = torch.Generator().manual_seed(0)
    images, gradient = (torch.randn(count, 4, 3, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    mean, bias = (torch.randn(4, generator=draw, dtype=torch.float64) for _ in range(2))
    variance, weight = (torch.rand(4, generator=draw, dtype=torch.float64) + 0.5 for _ in range(2))
    found = []
    for given in stored(images):
        for back in stored(gradient):
            leaves = [tensor.detach().requires_grad_() for tensor in (given, weight, bias)]
            output = Call(function, [leaves[0], mean, variance, *leaves[1:], by_batch], {}).run()
            assert output.shape == images.shape
            found.append((output.detach(), *torch.autograd.grad(output, leaves, back)))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
