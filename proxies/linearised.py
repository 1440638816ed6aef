"""The linearised network of synaptic flow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.layers import Layers, no_layers, targets
from proxies.operators import Call, by_channel
from proxies.provenance import WeightUse
from proxies.recording import Watch, record
from proxies.state import State, first_tensor

__all__ = ["linearised_flow"]


class _Linearised(Watch):
    """Batch and instance normalisation hand on their input unless they are kept; computed weights are positive."""

    def __init__(self, normalise: bool, parameters: dict[str, Tensor]) -> None:
        super().__init__()
        self._normalised, self._parameters = normalise, parameters

    def normalise(self, call: Call) -> Any:
        if by_channel(call) and not self._normalised:
            return call.get(0, "input")
        return call.run()

    def weight(self, use: WeightUse, weight: Tensor) -> Tensor:
        return weight if use.key in self._parameters else weight.abs()

    def bias(self, bias: Tensor) -> Tensor:
        return bias.abs()


def linearised_flow(state: State, inputs: tuple[Tensor, ...], normalise: bool) -> list[tuple[Tensor, Tensor]]:
    """|W| and ∂R/∂|W| of every layer, R the sum of the outputs for one input of ones, all parameters made positive.

    A weight that is computed from parameters is made positive itself, and its parameters are left as they are.
    `normalise` keeps batch normalisation (training mode, statistics of the one sample, buffers made positive);
    otherwise it is left out. Arguments of the module beyond the first are handed on; with them the ones have the whole
    shape of the first.
    """
    first = inputs[0]
    if not first.is_floating_point():
        raise UnsupportedModuleError("*", "the inputs are integers; there is no input of ones", "real inputs")
    ones = torch.ones_like(first if len(inputs) > 1 else first[:1])
    sources: set[str] = set()
    while True:
        positive = {
            name: leaf if name in sources else leaf.detach().abs().requires_grad_(leaf.requires_grad)
            for name, leaf in state.leaves.items()
        }
        captured = record(state, (ones, *inputs[1:]), _Linearised(normalise, positive), parameters=positive)
        found = {name for use in captured.uses if use.key not in positive for name in use.sources}
        if found <= sources:
            break
        sources |= found
    layers = Layers(state.module, captured.uses)
    if not layers.layers:
        raise no_layers(state.module)
    output = first_tensor(captured.result)
    if output is None or not output.requires_grad:
        raise UnsupportedModuleError("*", "the output is no tensor that depends on the parameters", "gradients")
    bases = targets(captured.uses)
    flat = [base for same in bases.values() for base in same]
    gradients = iter(captured.gradients([output.sum()], flat))
    flow: dict[str, Tensor] = {}
    for key, same in bases.items():
        total = sum((next(gradients) for _ in same[1:]), next(gradients))
        flow[key] = total if key in positive else total * same[0].detach().sign()
    weights = {key: same[0].detach().abs() for key, same in bases.items()}
    return list(zip(layers.of_bases(weights), layers.of_bases(flow), strict=True))
