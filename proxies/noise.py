"""The network on noise: forward and backward with inputs from N(0, 1) and random targets, as InTrain looks at it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError
from proxies.layers import Layer, State
from proxies.recording import record

__all__ = ["NoisePass", "noise_pass"]


@dataclass(frozen=True, slots=True)
class NoisePass:
    """Outputs of each layer that was called, call by call, and the loss's gradient by each trainable parameter.

    A parameter that the loss does not depend on has a gradient of zeros.
    """

    features: tuple[tuple[Layer, tuple[Tensor, ...]], ...]
    gradients: dict[str, Tensor]


def noise_pass(state: State, inputs: tuple[Tensor, ...], generator: torch.Generator) -> NoisePass:
    """One forward and one backward pass in training mode, on as many inputs as the batch has, of their shape.

    Labels are drawn evenly from the classes and the loss is mean cross-entropy; outputs with positions, or with one
    number for each sample, have targets from N(0, 1) and the mean squared error. All draws come from `generator`, on
    the CPU, so that they are the same on every device.
    """
    first = inputs[0]
    if not first.is_floating_point():
        raise UnsupportedModuleError("*", "the inputs are integers; there is no noise of their kind", "real inputs")
    names = [name for name in state.trainable if state.leaves[name].requires_grad]
    if not names:
        raise UnsupportedModuleError("*", "no parameter requires a gradient", "gradients")

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    noise = normal(first)
    captured = record(lambda: state.outputs(noise, *inputs[1:]), watched=[layer.module for layer in state.weights()])
    outputs: Tensor = captured.result
    if outputs.dim() > 2 or outputs.shape[1] == 1:
        loss = functional.mse_loss(outputs, normal(outputs))
    else:
        labels = torch.randint(outputs.shape[1], (len(outputs),), generator=generator).to(outputs.device)
        loss = functional.cross_entropy(outputs, labels)
    if not loss.requires_grad:
        raise UnsupportedModuleError("*", "the output depends on no parameter", "gradients")
    found = torch.autograd.grad(loss, [state.leaves[name] for name in names], allow_unused=True)
    gradients = {
        name: torch.zeros_like(state.leaves[name]) if g is None else g for name, g in zip(names, found, strict=True)
    }
    features = tuple(
        (layer, tuple(output.detach() for output in captured.outputs[layer.module]))
        for layer in state.layers
        if layer.module in captured.outputs
    )
    return NoisePass(features, gradients)
