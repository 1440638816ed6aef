"""The linearised network of synaptic flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from po_nas.errors import UnsupportedModuleError
from proxies.layers import State, first_tensor

__all__ = ["bypassed", "linearised_flow"]


@contextmanager
def bypassed(module: nn.Module) -> Iterator[None]:
    """Make every batch and instance normalisation hand on its input."""
    parts = [part for part in module.modules() if isinstance(part, _NormBase)]
    before = [part.__dict__.get("forward") for part in parts]
    try:
        for part in parts:
            part.forward = _identity
        yield
    finally:
        for part, forward in zip(parts, before, strict=True):
            if forward is None:
                part.__dict__.pop("forward", None)
            else:
                part.__dict__["forward"] = forward


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def linearised_flow(state: State, inputs: tuple[Tensor, ...], normalise: bool) -> list[tuple[Tensor, Tensor]]:
    """|W| and ∂R/∂|W| of every layer, R the sum of the outputs for one input of ones, all parameters made positive.

    `normalise` keeps batch normalisation (training mode, statistics of the one sample, buffers made positive);
    otherwise it is left out. Arguments of the module beyond the first are handed on; with them the ones have the whole
    shape of the first.
    """
    weights = [layer.weight for layer in state.weights()]
    positive = {name: leaf.detach().abs().requires_grad_(leaf.requires_grad) for name, leaf in state.leaves.items()}
    names = {id(leaf): name for name, leaf in state.leaves.items()}
    chosen = [positive[names[id(w)]] for w in weights]
    first = inputs[0]
    if not first.is_floating_point():
        raise UnsupportedModuleError("*", "the inputs are integers; there is no input of ones", "real inputs")
    ones = torch.ones_like(first if len(inputs) > 1 else first[:1])
    if normalise:
        output = first_tensor(state(ones, *inputs[1:], parameters=positive))
    else:
        with bypassed(state.module):
            output = first_tensor(state(ones, *inputs[1:], parameters=positive))
    if output is None or not output.requires_grad:
        raise UnsupportedModuleError("*", "the output is no tensor that depends on the parameters", "gradients")
    gradients = torch.autograd.grad(output.sum(), chosen, allow_unused=True)
    return [(w.detach(), torch.zeros_like(w) if g is None else g) for w, g in zip(chosen, gradients, strict=True)]
