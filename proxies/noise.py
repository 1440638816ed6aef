"""The network on noise: forward and backward with inputs from N(0, 1) and random targets, as InTrain looks at it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError
from proxies.layers import Layers
from proxies.recording import Watch, record
from proxies.samples import channels_last
from proxies.state import State

__all__ = ["NoisePass", "noise_pass"]


@dataclass(frozen=True, slots=True)
class NoisePass:
    """For each layer what it puts out in all of its calls, as rows (m, channels), and the loss's gradient by each
    parameter, zeros where there is no path."""

    features: tuple[Tensor, ...]
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
    names = [name for name, leaf in state.leaves.items() if leaf.requires_grad]
    if not names:
        raise UnsupportedModuleError("*", "no parameter requires a gradient", "gradients")

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    noise = normal(first)
    captured = record(state, (noise, *inputs[1:]), Watch(keep=True))
    outputs = state.checked(captured.result, len(noise))
    if outputs.dim() > 2 or outputs.shape[1] == 1:
        loss = functional.mse_loss(outputs, normal(outputs))
    else:
        labels = torch.randint(outputs.shape[1], (len(outputs),), generator=generator).to(outputs.device)
        loss = functional.cross_entropy(outputs, labels)
    found = captured.gradients([loss], [state.leaves[name] for name in names])
    layers = Layers(state.module, captured.uses)
    features = tuple(
        torch.cat([layer.part.of_channels(channels_last(use, use.output.detach()), -1).flatten(0, -2) for use in own])
        for layer, own in zip(layers.layers, layers.uses, strict=True)
    )
    return NoisePass(features, dict(zip(names, found, strict=True)))
