"""How the output of a network moves when its input goes round a circle: first and second derivatives, exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from po_nas.errors import UnsupportedModuleError
from proxies.state import State, first_tensor

__all__ = ["movements"]

ANGLES = 4
"""Points of the circle, evenly spaced."""

_STILL = {torch.float32: 1e-2, torch.float64: 1e-8}
"""Movement, as a share of the output, that is put down to rounding: where a normalisation over the positions of the one
sample is averaged over them, the output is constant, and what single precision makes of that is up to 1e-3."""

_TOLERANCE = {torch.float32: 1e-2, torch.float64: 1e-6}
"""Relative difference of two ways to differentiate twice that is put down to rounding."""


def movements(state: State, first: Tensor, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """∂f / ∂θ and ∂²f / ∂θ² of the output f (flattened) at each of `ANGLES` points of a circle of inputs, double.

    Both are zero at a point where the output does not move.

    The input is √d (u cos θ + w sin θ), u and w orthonormal, drawn from `generator` on the CPU, d the numbers of one of
    the samples in `first`. Each point is a batch by itself, in training mode.

    Raises `UnsupportedModuleError` for integer inputs, and where the second derivative is not to be had: it is compared
    with that of the gradient along a random direction, because forward differentiation of fused functions (of batch
    normalisation in torch 2.13, which is therefore taken apart here) silently leaves out parts of it.
    """
    if not first.is_floating_point():
        raise UnsupportedModuleError("*", "the inputs are integers; there is no circle of them", "real inputs")
    size = first[0].numel()
    if size < 2:
        raise UnsupportedModuleError("*", "a circle of inputs needs at least two numbers in each", "larger inputs")
    drawn = torch.randn(size, 2, generator=generator, dtype=torch.float64)
    plane = torch.linalg.qr(drawn).Q.mT * size**0.5
    u, w = (axis.reshape(1, *first.shape[1:]).to(first) for axis in plane)

    def output(angle: Tensor) -> Tensor:
        with _Elementary():
            found = first_tensor(state(u * torch.cos(angle) + w * torch.sin(angle)))
        if found is None or found.dim() < 2:
            raise UnsupportedModuleError("*", "the module must return a tensor (n, outputs, …)", "tensor output")
        return found.flatten()

    def velocity(angle: Tensor) -> tuple[Tensor, Tensor]:
        both: Any = torch.func.jvp(output, (angle,), (torch.ones_like(angle),))
        return both[1], both[0]

    found, checked = [], False
    try:
        with torch.no_grad():
            for k in range(ANGLES):
                # Not inside, where nothing can be put back.
                state.fresh()
                angle = torch.tensor(2 * math.pi * k / ANGLES).to(first)
                derivatives: Any = torch.func.jvp(velocity, (angle,), (torch.ones_like(angle),), has_aux=True)
                moved, change, value = (tensor.double() for tensor in derivatives)
                if float(moved.norm()) <= _STILL[angle.dtype] * float(value.norm()):
                    moved, change = torch.zeros_like(moved), torch.zeros_like(change)
                elif not checked:
                    _check(output, angle, moved, change, generator)
                    checked = True
                found.append((moved, change))
    except NotImplementedError as error:
        reason = "a function of the module cannot be differentiated in forward mode, or only once"
        raise UnsupportedModuleError("*", reason, "second derivatives") from error
    return found


def _check(
    output: Callable[[Tensor], Tensor], angle: Tensor, moved: Tensor, change: Tensor, generator: torch.Generator
) -> None:
    """Compare a second derivative with that of the gradient of one random combination of the outputs."""
    direction = torch.randn(len(change), generator=generator, dtype=torch.float64).to(change.device)

    def slope(at: Tensor) -> Tensor:
        return torch.func.vjp(output, at)[1](direction.to(at))[0]  # type: ignore[no-any-return]

    expected = float(torch.func.jvp(slope, (angle,), (torch.ones_like(angle),))[1])
    scale = float(direction.norm() * (change.norm() + moved.norm()))
    if abs(float(direction @ change) - expected) > _TOLERANCE[angle.dtype] * scale:
        reason = "a function of the module has no second derivative in forward mode that can be relied on"
        raise UnsupportedModuleError("*", reason, "second derivatives")


class _Elementary(TorchFunctionMode):
    """Computes normalisations and SiLU by functions of which every derivative is there and right."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        if function == Tensor.data.__set__:  # type: ignore[attr-defined]
            # Torch ends the process at the second derivative.
            reason = "the module assigns to the data of a tensor while it is called"
            raise UnsupportedModuleError("*", reason, "second derivatives")
        replaced = _REPLACED.get(function, function)
        return replaced(*arguments, **(keywords or {}))


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if training or running_mean is None or running_var is None:
        others = [d for d in range(input.dim()) if d != 1]
        if input.numel() == input.shape[1]:
            reason = "batch normalisation of one number for each channel is not defined"
            raise UnsupportedModuleError("*", reason, "positions")
        return _scaled(_standardised(input, others, eps), weight, bias, 1)
    return functional.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)


def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    grouped = _standardised(input.reshape(len(input), num_groups, -1), [2], eps)
    return _scaled(grouped.reshape(input.shape), weight, bias, 1)


def _layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    result = _standardised(input, list(range(-len(normalized_shape), 0)), eps)
    result = result if weight is None else result * weight
    return result if bias is None else result + bias


def _silu(input: Tensor, inplace: bool = False) -> Tensor:
    return input.mul_(input.sigmoid()) if inplace else input * input.sigmoid()


def _standardised(tensor: Tensor, dims: list[int], eps: float) -> Tensor:
    centred = tensor - tensor.mean(dims, keepdim=True)
    return centred * (centred.square().mean(dims, keepdim=True) + eps).rsqrt()


def _scaled(tensor: Tensor, weight: Tensor | None, bias: Tensor | None, dim: int) -> Tensor:
    shape = [1] * tensor.dim()
    shape[dim] = -1
    tensor = tensor if weight is None else tensor * weight.view(shape)
    return tensor if bias is None else tensor + bias.view(shape)


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.batch_norm: _batch_norm,
    functional.group_norm: _group_norm,
    functional.layer_norm: _layer_norm,
    functional.silu: _silu,
}
