"""The differentiable stand-ins for a module's parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from po_nas.errors import UnsupportedModuleError
from proxies.isolation import Snapshot
from proxies.scripted import scripted_part

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


def _mark(leaf: Tensor) -> tuple[int, int]:
    """What changes when the values of a tensor are changed or replaced."""
    return leaf._version, leaf.data_ptr()


def _memory(tensor: Tensor) -> tuple[str, int]:
    """Where the memory of a tensor is."""
    dense = tensor.layout == torch.strided and not nn.parameter.is_lazy(tensor)
    return (str(tensor.device), tensor.untyped_storage().data_ptr() if dense and tensor.numel() else id(tensor))


def _not_followed(module: nn.Module, parameters: Iterable[nn.Parameter]) -> tuple[str, str] | None:
    """Why no pass over a module can be followed, and what it would need; None where it can."""
    scripted = scripted_part(module)
    if scripted is not None:
        reason = f"{scripted} is scripted or traced, so what it computes is not seen; use what it was made of"
        return reason, "Python"
    if any(p.is_complex() for p in parameters):
        return "a parameter is complex; multiply by its real and imaginary part, two real parameters", "real parameters"
    return None


class State:
    """Copies of a module's parameters as leaves, and of its buffers, in the precision of a pass.

    They take the place of the module's own while it is `installed`, so that neither its parameters nor their gradients
    nor its running statistics ever change. `leaves` are the parameters by name, shared ones once; all real ones require
    a gradient, whether the module's own do or not. `trainable` are the names of those whose own does. `constants` are
    the tensors that the module keeps in plain attributes; `stale` those of them that were made of parameters, which
    nothing may be computed from. Every pass begins with `fresh` state.
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
        owned = {id(b): name for name, b in module.named_buffers()} | {id(p): name for name, p in parameters.items()}
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
        self._parameters = parameters
        self._as_made = {name: _mark(leaf) for name, leaf in self.leaves.items()}
        self._before = Snapshot(module, values=False)
        held = [t for t in self._before.tensors if id(t) not in owned]
        memory = {_memory(p) for p in parameters.values()}
        self.stale = [t for t in held if t.grad_fn is not None or _memory(t) in memory]
        made = set(map(id, self.stale))
        self.constants = [t for t in held if id(t) not in made]
        self._reason = _not_followed(module, parameters.values())

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.detach().to(self.dtype if tensor.is_floating_point() else tensor.dtype, copy=True)

    def _leaf(self, parameter: nn.Parameter) -> Tensor:
        leaf = self._cast(parameter)
        return leaf.requires_grad_() if leaf.is_floating_point() else leaf

    def fresh(self) -> None:
        """Put back what an earlier pass has changed: attributes of the module, values of the leaves, and which of them
        require a gradient; modes stay. `UnsupportedModuleError` for a module that no pass can follow.
        """
        if self._reason is not None:
            raise UnsupportedModuleError("*", *self._reason)
        modes = [(part, part.training) for part in self.module.modules()]
        self._before.restore()
        for part, training in modes:
            part.training = training
        for name, parameter in self._parameters.items():
            leaf = self.leaves[name]
            if _mark(leaf) != self._as_made[name]:
                self.leaves[name] = leaf = self._leaf(parameter)
                self._as_made[name] = _mark(leaf)
            if leaf.requires_grad is not leaf.is_floating_point():
                leaf.requires_grad_(leaf.is_floating_point())

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
        """The module's output with the leaves and fresh copies of the buffers; the state is as it is."""
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

    def refuse_nan(self, outputs: Tensor) -> None:
        """Raise `UnsupportedModuleError` for outputs that are NaN."""
        if bool(outputs.isnan().any()):
            reason = f"{type(self.module).__name__} puts out what is not a number, so no score means anything"
            raise UnsupportedModuleError("*", reason, "finite outputs")
