"""The layers that the literature's sums run over, and the differentiable stand-ins for a module's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from po_nas.errors import UnsupportedModuleError

__all__ = ["Layer", "State", "first_tensor"]

_NO_LAYER = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, _BatchNorm)


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution, linear layer or other module that owns a `weight` of two or more dimensions.

    Embeddings and normalisation are none. `weight` is a leaf in the precision of the pass, sharing memory with the
    module's parameter where that has the same precision. Layers that share one parameter are one layer.
    """

    name: str
    module: nn.Module
    weight: Tensor

    @property
    def convolution(self) -> bool:
        """Whether channels are dimension 1 of its output (else the last)."""
        return isinstance(self.module, _ConvNd)


def first_tensor(value: Any) -> Tensor | None:
    """The tensor of an output: itself, the first of a sequence, or the `logits` of a record."""
    value = getattr(value, "logits", value)
    if isinstance(value, tuple | list) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


class State:
    """A module's parameters as new leaves and copies of its buffers, in the precision of a pass.

    Calling it runs the module's forward on them, so neither the parameters' gradients nor the running statistics of the
    module itself ever change.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype | None = None) -> None:
        self.module = module
        parameters = dict(module.named_parameters())
        if not parameters:
            reason = f"{type(module).__name__} has no parameters; there is nothing to score"
            raise UnsupportedModuleError("*", reason, "parameters")
        if any(nn.parameter.is_lazy(p) for p in parameters.values()):
            raise UnsupportedModuleError(
                "*",
                f"{type(module).__name__} has lazy parameters; call it once on a batch before it is scored",
                "initialised parameters",
            )
        real = [p for p in parameters.values() if p.is_floating_point()]
        self.dtype = dtype or (torch.float64 if any(p.dtype == torch.float64 for p in real) else torch.float32)
        self.device = next(iter(parameters.values())).device
        self.leaves = {name: self._leaf(p) for name, p in parameters.items()}
        self.trainable = tuple(name for name, p in parameters.items() if p.requires_grad)
        self._buffers = {name: self._cast(b) for name, b in module.named_buffers()}
        self.layers = self._find_layers({id(p): self.leaves[name] for name, p in parameters.items()})

    def _cast(self, tensor: Tensor) -> Tensor:
        tensor = tensor.clone() if tensor.is_inference() else tensor.detach()
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _leaf(self, parameter: nn.Parameter) -> Tensor:
        leaf = self._cast(parameter)
        return leaf.requires_grad_() if leaf.is_floating_point() else leaf

    def _find_layers(self, leaves: dict[int, Tensor]) -> tuple[Layer, ...]:
        found: dict[int, Layer] = {}
        for name, part in self.module.named_modules():
            if isinstance(part, _NO_LAYER):
                continue
            if parametrize.is_parametrized(part, "weight"):
                raise UnsupportedModuleError(
                    "*",
                    f"the weight of {name!r} is parametrised; call torch.nn.utils.parametrize.remove_parametrizations "
                    "on it before scoring",
                    "plain weights",
                )
            weight = getattr(part, "weight", None)
            if isinstance(weight, nn.Parameter) and weight.dim() >= 2 and weight.is_floating_point():
                found.setdefault(id(weight), Layer(name, part, leaves[id(weight)]))
        return tuple(found.values())

    def weights(self) -> tuple[Layer, ...]:
        """The layers; `UnsupportedModuleError` when there are none."""
        if not self.layers:
            raise UnsupportedModuleError(
                "*", f"{type(self.module).__name__} has no convolution and no linear layer to sum over", "layers"
            )
        return self.layers

    def __call__(self, *inputs: Tensor, parameters: dict[str, Tensor] | None = None) -> Any:
        """The module's output with these parameters (the leaves by default) and fresh copies of the buffers."""
        parameters = self.leaves if parameters is None else parameters
        buffers = {name: b.clone() for name, b in self._buffers.items()}
        return functional_call(self.module, (parameters, buffers), inputs)

    def outputs(self, *inputs: Tensor) -> Tensor:
        """The module's first output tensor, with the samples in dimension 0."""
        output = first_tensor(self(*inputs))
        if output is None or output.dim() < 2 or len(output) != len(inputs[0]):
            raise UnsupportedModuleError(
                "*",
                f"{type(self.module).__name__} must return a tensor (n, outputs, …), or a tuple that begins with one; "
                "wrap it in a module that does",
                "tensor output",
            )
        return output
