"""The network with Gaussian weights on Gaussian inputs, as Zen-NAS looks at it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from po_nas.errors import UnsupportedModuleError
from proxies.layers import State, first_tensor

__all__ = ["GaussianPass", "gaussian_pass"]

ALPHA = 0.01
"""Size of the perturbation, the paper's."""


@dataclass(frozen=True, slots=True)
class GaussianPass:
    """Features (n, …) of the last feature map for x and for x + 0.01 ε, and batch variances (channels,) of every batch
    normalisation for x, in the order of the calls."""

    features: Tensor
    perturbed: Tensor
    variances: tuple[Tensor, ...]


def gaussian_pass(state: State, inputs: tuple[Tensor, ...], generator: torch.Generator) -> GaussianPass:
    """Run the network twice with weights of layers from N(0, 1), normalisation at one and biases at zero.

    x and ε are N(0, 1) of the shape of the first input, training mode. The last feature map is the input of the last
    adaptive average pooling, else the last output with positions of any module, else the input of the last layer. All
    draws come from `generator` on the CPU, in a fixed order, so they are the same on every device.
    """
    first = inputs[0]
    if not first.is_floating_point():
        raise UnsupportedModuleError("*", "the inputs are integers; they cannot be perturbed", "real inputs")

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    parameters = _parameters(state, normal)
    clean = normal(first)
    noisy = clean + ALPHA * normal(first)
    variances: list[Tensor] = []
    with torch.no_grad():
        features = _last_features(state, (clean, *inputs[1:]), parameters, variances)
        perturbed = _last_features(state, (noisy, *inputs[1:]), parameters, [])
    return GaussianPass(features, perturbed, tuple(variances))


def _parameters(state: State, normal: Any) -> dict[str, Tensor]:
    layers = {id(layer.weight) for layer in state.layers}
    parameters = {}
    for name, leaf in state.leaves.items():
        owner, _, kind = name.rpartition(".")
        part = state.module.get_submodule(owner)
        if id(leaf) in layers:
            parameters[name] = normal(leaf)
        elif kind == "bias":
            parameters[name] = torch.zeros_like(leaf)
        elif isinstance(part, _BatchNorm | nn.GroupNorm | nn.LayerNorm):
            parameters[name] = torch.ones_like(leaf)
        else:
            parameters[name] = leaf.detach()
    return parameters


def _last_features(
    state: State, inputs: tuple[Tensor, ...], parameters: dict[str, Tensor], variances: list[Tensor]
) -> Tensor:
    pooled: list[Tensor] = []
    spatial: list[Tensor] = []
    entering: list[Tensor] = []

    def before_norm(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        x = arguments[0]
        variances.append(x.var([d for d in range(x.dim()) if d != 1], unbiased=False))

    def before_pool(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        pooled[:] = [arguments[0]]

    def before_layer(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        entering[:] = [arguments[0]]

    def after(_: nn.Module, __: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None and tensor.dim() > 2 and len(tensor) == len(inputs[0]):
            spatial[:] = [tensor]

    with ExitStack() as stack:
        for part in state.module.modules():
            if isinstance(part, _BatchNorm):
                stack.callback(part.register_forward_pre_hook(before_norm).remove)
            if isinstance(part, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
                stack.callback(part.register_forward_pre_hook(before_pool).remove)
            elif not any(True for _ in part.children()):
                stack.callback(part.register_forward_hook(after).remove)
        for layer in state.weights():
            stack.callback(layer.module.register_forward_pre_hook(before_layer).remove)
        state(*inputs, parameters=parameters)
    return (pooled or spatial or entering)[0]
