"""One forward pass that keeps what the proxies want to see of it: ReLU patterns, layer outputs, block outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import TensorWeakRef

from proxies.layers import first_tensor
from proxies.patterns import pack

__all__ = ["Captured", "record"]


@dataclass
class Captured:
    """What one forward pass left behind.

    `codes` are packed ReLU patterns, one array a ReLU in the order of the calls; `outputs` the output tensors of each
    watched module, one a call.
    """

    result: Any = None
    codes: list[Tensor] = field(default_factory=list)
    outputs: dict[nn.Module, list[Tensor]] = field(default_factory=dict)


_RELU: dict[Callable[..., Any], bool] = {
    functional.relu: True,
    torch.relu: True,
    Tensor.relu: True,
    torch.relu_: False,
    Tensor.relu_: False,
    functional.relu6: False,
    functional.leaky_relu: False,
    functional.leaky_relu_: False,
    functional.prelu: False,
    functional.hardtanh: False,
    functional.hardtanh_: False,
}
"""Functions whose output is positive exactly where their input is (hardtanh: when it is ReLU6); true: plain ReLU."""


class _Activations(TorchFunctionMode):
    """Watches ReLUs, called through a module or not.

    Several ReLUs of one and the same tensor (the edges that leave a node of a cell) are computed once and share their
    output: less time, and much less memory in a double backward pass.
    """

    def __init__(self, captured: Captured, codes: bool, share: bool) -> None:
        super().__init__()
        self.captured, self.codes, self.share = captured, codes, share
        self.known: dict[int, tuple[TensorWeakRef, int, bool, TensorWeakRef, int]] = {}
        self.shared: list[tuple[Tensor, int]] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        keywords = keywords or {}
        plain = _RELU.get(function)
        if plain is None:
            return function(*arguments, **keywords)
        inplace = keywords.get("inplace", len(arguments) > 1 and arguments[1] is True)
        if plain and arguments and not inplace and self.share:
            output = self._shared(arguments[0])
        else:
            output = function(*arguments, **keywords)
        bounded = function in (functional.hardtanh, functional.hardtanh_)
        if self.codes and not (bounded and _lower(arguments, keywords) != 0):
            self.captured.codes.append(pack(output))
        return output

    def _shared(self, tensor: Tensor) -> Tensor:
        grad = torch.is_grad_enabled()
        known = self.known.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1:3] == (tensor._version, grad):
            before: Tensor | None = known[3]()
            if before is not None and before._version == known[4]:
                self.shared.append((before, before._version))
                return before
        output = torch.relu(tensor)
        # Weak, so that nothing lives longer than the module itself lets it.
        self.known[id(tensor)] = (TensorWeakRef(tensor), tensor._version, grad, TensorWeakRef(output), output._version)
        return output

    @property
    def disturbed(self) -> bool:
        """Whether the module changed a shared output in place, so that sharing was wrong."""
        return any(output._version != version for output, version in self.shared)


def _lower(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> float:
    return float(keywords.get("min_val", arguments[1] if len(arguments) > 1 else -1.0))


def record(
    run: Callable[[], Any], *, codes: bool = False, watched: Sequence[nn.Module] = (), share: bool = True
) -> Captured:
    """Run `run()` and keep packed ReLU codes and the outputs of the `watched` modules, attached to the graph.

    A module may change a watched output, or a shared ReLU output, in place; then the pass is run again with copies.
    """
    copied: frozenset[nn.Module] = frozenset()
    while True:
        captured = Captured()
        seen: list[tuple[nn.Module, Tensor, int]] = []

        def keep(
            part: nn.Module,
            _: Any,
            output: Any,
            captured: Captured = captured,
            seen: list[tuple[nn.Module, Tensor, int]] = seen,
            copied: frozenset[nn.Module] = copied,
        ) -> Any:
            tensor = first_tensor(output)
            if tensor is None:
                return None
            captured.outputs.setdefault(part, []).append(tensor)
            seen.append((part, tensor, tensor._version))
            return tensor.clone() if part in copied and tensor is output else None

        mode = _Activations(captured, codes, share)
        with ExitStack() as stack:
            for part in watched:
                stack.callback(part.register_forward_hook(keep).remove)
            stack.enter_context(mode)
            captured.result = run()
        changed = {part for part, tensor, version in seen if tensor._version != version} - copied
        if not changed and not mode.disturbed:
            return captured
        copied |= changed
        share = share and not mode.disturbed
