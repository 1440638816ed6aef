"""What goes into each activation function of a network and what comes out of it, whatever function it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["NonlinearCall", "Nonlinearities"]


@dataclass(frozen=True, slots=True)
class NonlinearCall:
    """One call of an activation function: its input and its output, of one shape."""

    before: Tensor
    after: Tensor


_NAMES = (
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_", "elu", "elu_", "selu"),
    *("selu_", "celu", "celu_", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "hardtanh_"),
    *("sigmoid", "sigmoid_", "tanh", "tanh_", "softplus", "softsign", "logsigmoid", "threshold", "threshold_"),
)
_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    found for home in (functional, torch, Tensor) for name in _NAMES if callable(found := getattr(home, name, None))
)
"""Activation functions that act on each number by itself, by all the ways in which they are called."""


class Nonlinearities(TorchFunctionMode):
    """Keeps input and output of every activation function that is called while it is active.

    `calls` has one entry for each call, in their order; functions that are called in place are seen with the input that
    they had. With `gradients` an output is a tensor of the graph that no other call shares and that nobody changes, so
    that something can be differentiated by it; otherwise outputs are detached. What the module does in place to an
    input or output later on is found out: then `disturbed` is true, and a run with `copies` is needed. Entered again,
    it begins anew.
    """

    def __init__(self, *, gradients: bool = False, copies: bool = False) -> None:
        super().__init__()
        self.gradients, self.copies = gradients, copies
        self.calls: list[NonlinearCall] = []
        self._versions: list[tuple[Tensor, int]] = []

    def __enter__(self) -> Self:
        self.calls, self._versions = [], []
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        keywords = keywords or {}
        if function not in _FUNCTIONS or not arguments:
            return function(*arguments, **keywords)
        given: Tensor = arguments[0]
        in_place = _in_place(function, arguments, keywords)
        if self.gradients:
            copy = given.clone()
            output = function(copy, *arguments[1:], **keywords)
            # Out of reach of the module and of other calls: functions may hand out one tensor to two calls.
            mine = output.clone()
            self.calls.append(NonlinearCall(given.detach().clone(), mine))
            return given.copy_(mine) if in_place else mine.clone()
        before = given.detach().clone() if in_place or self.copies else given.detach()
        output = function(*arguments, **keywords)
        self.calls.append(NonlinearCall(before, output.detach().clone() if self.copies else output.detach()))
        if not self.copies:
            self._versions += [(tensor, tensor._version) for tensor in ((output,) if in_place else (given, output))]
        return output

    @property
    def disturbed(self) -> bool:
        """Whether something that was kept has been changed in place since."""
        return any(tensor._version != version for tensor, version in self._versions)


def _in_place(function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether a call may change its input: by its name, or by a flag that is set."""
    flagged = bool(keywords.get("inplace")) or any(argument is True for argument in arguments[1:])
    return function.__name__.endswith("_") or flagged
