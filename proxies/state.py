"""The differentiable stand-ins for a module's parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from po_nas.errors import UnsupportedModuleError

__all__ = ["State", "first_tensor", "nodes"]


def first_tensor(value: Any) -> Tensor | None:
    """The tensor of an output: itself, the first of a sequence, or the `logits` of a record."""
    value = getattr(value, "logits", value)
    if isinstance(value, tuple | list) and value:
        value = value[0]
    return value if isinstance(value, Tensor) else None


def nodes(tensors: Iterable[Tensor]) -> Iterator[Any]:
    """The nodes of the graph of some tensors, each once."""
    seen: set[Any] = set()
    left: list[Any] = [tensor.grad_fn for tensor in tensors]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        left += [following for following, _ in node.next_functions]


class State:
    """Copies of a module's parameters as leaves, and of its buffers, in the precision of a pass.

    They take the place of the module's own while it is `installed`, so that neither its parameters nor their gradients
    nor its running statistics ever change. `leaves` are the parameters by name, shared ones once; all real ones require
    a gradient, whether the module's own do or not. `trainable` are the names of those whose own does.
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
        owned = {id(p): name for name, p in parameters.items()} | {id(b): name for name, b in module.named_buffers()}
        # Every place where a parameter or a buffer is registered, with the name under which it is known here.
        places: list[tuple[dict[str, Any], str, str]] = [
            (registered, key, owned[id(tensor)])
            for part in module.modules()
            for registered in (part._parameters, part._buffers)
            for key, tensor in registered.items()
            if tensor is not None
        ]
        self._places = places
        self.originals = {id(p): name for name, p in parameters.items()}

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to(self.dtype if tensor.is_floating_point() else tensor.dtype, copy=True)

    def _leaf(self, parameter: nn.Parameter) -> Tensor:
        leaf = self._cast(parameter)
        return leaf.requires_grad_() if leaf.is_floating_point() else leaf

    def buffers(self) -> dict[str, Tensor]:
        """Fresh copies of the buffers, by name."""
        return {name: b.clone() for name, b in self._buffers.items()}

    @contextmanager
    def installed(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Iterator[None]:
        """Make the module compute with these tensors in place of its own."""
        before = [registered[key] for registered, key, _ in self._places]
        try:
            for registered, key, name in self._places:
                registered[key] = parameters[name] if name in parameters else buffers[name]
            yield
        finally:
            for (registered, key, _), tensor in zip(self._places, before, strict=True):
                registered[key] = tensor

    def __call__(self, *inputs: Tensor) -> Any:
        """The module's output with the leaves and fresh copies of the buffers."""
        with self.installed(self.leaves, self.buffers()):
            return self.module(*inputs)

    def checked(self, result: Any, samples: int) -> Tensor:
        """The first tensor of what the module returned; `UnsupportedModuleError` unless it is (samples, outputs, …)."""
        output = first_tensor(result)
        if output is None or output.dim() < 2 or len(output) != samples:
            raise UnsupportedModuleError(
                "*",
                f"{type(self.module).__name__} must return a tensor (n, outputs, …), or a tuple that begins with one; "
                "wrap it in a module that does",
                "tensor output",
            )
        return output
