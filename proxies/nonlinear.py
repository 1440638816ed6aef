"""What goes into each activation function of a network and what comes out of it, whatever function it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from po_nas.errors import UnsupportedModuleError
from proxies.dataflow import Dataflow
from proxies.operators import Call
from proxies.recording import Captured, Watch
from proxies.relus import as_fill

__all__ = ["NonlinearCall", "Nonlinearities", "of_samples"]


@dataclass(frozen=True, slots=True)
class NonlinearCall:
    """One call of an activation function: its input and its output, of one shape, and the dimension of its units."""

    before: Tensor
    after: Tensor
    units: int = 1


_NAMES = (
    *("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_", "elu", "elu_", "selu"),
    *("selu_", "celu", "celu_", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "hardtanh_"),
    *("sigmoid", "sigmoid_", "tanh", "tanh_", "softplus", "softsign", "logsigmoid", "threshold", "threshold_"),
)
_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    found for home in (functional, torch, Tensor) for name in _NAMES if callable(found := getattr(home, name, None))
)
"""Activation functions that act on each number by itself, by all the ways in which they are called; other forms of a
ReLU count as well."""


class Nonlinearities(Watch):
    """Keeps input and output of every activation function that is called in a pass (`proxies.recording.record`).

    `calls` has one entry for each call, in their order; functions that are called in place are seen with the input that
    they had. With `gradients` an output is a tensor of the graph that no other call shares and that nobody changes, so
    that something can be differentiated by it; otherwise outputs are detached. What the module does in place to an
    input or output later on is found out: then `disturbed` is true, and a pass with `copies` is needed.
    """

    def __init__(
        self,
        *,
        keep: bool = False,
        codes: Callable[[int, Tensor], Tensor] | None = None,
        gradients: bool = False,
        copies: bool = False,
        flow: Dataflow | None = None,
    ) -> None:
        super().__init__(keep=keep, codes=codes, flow=flow)
        self.gradients, self.copies = gradients, copies

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        """Start to record into `captured`."""
        super().begin(captured, copied, share)
        self.calls: list[NonlinearCall] = []
        self._versions: list[tuple[Tensor, int]] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, arguments: tuple[Any, ...] = (), keywords: Any = None
    ) -> Any:
        function, keywords = as_fill(function, arguments), keywords or {}
        first = arguments[0] if arguments else keywords.get("input")
        given = self.comparisons.rectified(Call(function, arguments, keywords))
        if given is None and function in _FUNCTIONS:
            given = first
        if not (self.recording and isinstance(given, Tensor) and self.provenance.kind(given) == "data"):
            return super().__torch_function__(function, types, arguments, keywords)
        units = self.axis(given)
        in_place = given is first and _in_place(function, arguments, keywords)
        if self.gradients:
            before = given.detach().clone()
            if in_place:
                arguments, keywords = (
                    (given.clone(), *arguments[1:]),
                    {k: v for k, v in keywords.items() if k != "input"},
                )
            # Out of reach of the module and of other calls: functions may hand out one tensor to two calls.
            mine = super().__torch_function__(function, types, arguments, keywords).clone()
            self.calls.append(NonlinearCall(before, mine, units))
            return given.copy_(mine) if in_place else mine.clone()
        before = given.detach().clone() if in_place or self.copies else given.detach()
        output: Tensor = super().__torch_function__(function, types, arguments, keywords)
        self.calls.append(NonlinearCall(before, output.detach().clone() if self.copies else output.detach(), units))
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


def of_samples(calls: Sequence[NonlinearCall], samples: int) -> Sequence[NonlinearCall]:
    """The calls; `UnsupportedModuleError` where one is on something else than (samples, units, …)."""
    if any(call.after.dim() < 2 or len(call.after) != samples for call in calls):
        reason = "an activation function is called on something that does not hold the batch's samples"
        raise UnsupportedModuleError("*", reason, "samples")
    return calls
