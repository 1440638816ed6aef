"""Which functions are ReLUs or open exactly where a ReLU does, written out or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.weak import TensorWeakRef

from proxies.operators import CASTS, Call, Kind

__all__ = ["PLAIN", "Comparisons", "as_fill"]

PLAIN: frozenset[Callable[..., Any]] = frozenset({functional.relu, torch.relu, Tensor.relu})
"""ReLU itself, not in place unless its second argument says so."""

_ALWAYS = PLAIN | {
    *(torch.relu_, Tensor.relu_, functional.relu_, functional.relu6, functional.prelu, functional.rrelu),
    *(functional.rrelu_, functional.leaky_relu, functional.leaky_relu_, torch.prelu, Tensor.prelu),
}
_LOWER: dict[Callable[..., Any], tuple[int, str, int, str]] = {
    **dict.fromkeys((functional.hardtanh, functional.hardtanh_), (1, "min_val", 2, "max_val")),
    **dict.fromkeys(
        (torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, torch.clip_, Tensor.clip, Tensor.clip_),
        (1, "min", 2, "max"),
    ),
    **dict.fromkeys((torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_), (1, "min", 9, "")),
    **dict.fromkeys((functional.threshold, torch.threshold, torch.threshold_), (1, "threshold", 2, "value")),
}
"""Functions with a lower bound, with the positions and names of the bounds."""


_LARGER: frozenset[Callable[..., Any]] = frozenset(
    {torch.maximum, Tensor.maximum, torch.max, Tensor.max, torch.fmax, Tensor.fmax}
)
_WHERE: dict[Callable[..., Any], tuple[tuple[int, str], tuple[int, str], tuple[int, str]]] = {
    torch.where: ((0, "condition"), (1, "input"), (2, "other")),
    Tensor.where: ((1, "condition"), (0, "self"), (2, "other")),
}
"""Condition, value where it holds, value elsewhere."""

_TIMES: frozenset[Callable[..., Any]] = frozenset(
    (
        *(torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__),
        *(Tensor.mul_, Tensor.__imul__),
    )
)
_FILLED: frozenset[Callable[..., Any]] = frozenset({torch.masked_fill, Tensor.masked_fill, Tensor.masked_fill_})
_ABOVE: frozenset[Callable[..., Any]] = frozenset(
    (
        *(torch.gt, torch.ge, torch.greater, torch.greater_equal, Tensor.gt, Tensor.ge, Tensor.greater),
        *(Tensor.greater_equal, Tensor.__gt__, Tensor.__ge__),
    )
)
_BELOW: frozenset[Callable[..., Any]] = frozenset(
    (
        *(torch.lt, torch.le, torch.less, torch.less_equal, Tensor.lt, Tensor.le, Tensor.less, Tensor.less_equal),
        *(Tensor.__lt__, Tensor.__le__),
    )
)
_NOT: frozenset[Callable[..., Any]] = frozenset(
    {torch.logical_not, Tensor.logical_not, torch.bitwise_not, Tensor.bitwise_not, Tensor.__invert__}
)


def as_fill(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """``masked_fill_`` for ``x[mask] = number``, which is the same; any other function as it is."""
    if function is not Tensor.__setitem__ or len(arguments) != 3:
        return function
    target, mask, value = arguments
    same = isinstance(target, Tensor) and isinstance(mask, Tensor) and mask.shape == target.shape
    return Tensor.masked_fill_ if same and mask.dtype == torch.bool and type(value) in (int, float) else function


class Comparisons:
    """Finds ReLUs in a pass, whose calls it has to see in order.

    Those that are written out are maximum with zero, a choice between x and zero by the sign of x (`where`,
    `masked_fill`, ``x[x < 0] = 0``), and x times whether it is positive. `kind` says what a tensor is made of.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._masks: dict[int, tuple[TensorWeakRef, TensorWeakRef, int, bool]] = {}

    def note(self, call: Call, result: Any) -> None:
        """A function has been called."""
        if not isinstance(result, Tensor) or result.requires_grad or not call.arguments:
            return
        function, first = call.function, call.arguments[0]
        if not isinstance(first, Tensor):
            return
        if function in _ABOVE or function in _BELOW:
            if self._is_zero(call.get(1, "other")):
                self._put(result, first, function in _ABOVE)
        elif function in _NOT or function in CASTS:
            known = self._masks.get(id(first))
            source = None if known is None or known[0]() is not first else known[1]()
            if known is not None and source is not None and source._version == known[2]:
                self._put(result, source, known[3] is not (function in _NOT))

    def rectified(self, call: Call) -> Tensor | None:
        """The tensor x of a call whose result is positive exactly where x is, and elsewhere zero or a slope of x; None
        for any other call."""
        function = call.function
        if function in _ALWAYS or (function in _LOWER and self._bounded(call)):
            found = call.get(0, "input")
        elif function in _LARGER:
            found = self._larger(call.get(0, "input"), call.get(1, "other"))
        elif function in _TIMES and self._masks:
            found = self._masked(call.get(0, "input"), call.get(1, "other"))
        elif function in _WHERE and self._masks:
            condition, chosen, other = (call.get(*place) for place in _WHERE[function])
            found = chosen if self._is_mask(condition, chosen, True) and self._is_zero(other) else None
            if found is None and self._is_mask(condition, other, False) and self._is_zero(chosen):
                found = other
        elif function in _FILLED and self._masks:
            found = call.get(0, "input")
            if not (self._is_mask(call.get(1, "mask"), found, False) and self._is_zero(call.get(2, "value"))):
                found = None
        else:
            return None
        return found if isinstance(found, Tensor) else None

    def _bounded(self, call: Call) -> bool:
        (a, low), (b, high) = _LOWER[call.function][:2], _LOWER[call.function][2:]
        least, most = call.get(a, low), call.get(b, high)
        if isinstance(most, Tensor) or not self._is_zero(least):
            return False
        threshold = call.function in (functional.threshold, torch.threshold, torch.threshold_)
        return most == 0 if threshold else most is None or most > 0

    def _larger(self, first: Any, second: Any) -> Any:
        if not isinstance(first, Tensor) or not isinstance(second, Tensor):
            return None
        for found, other in ((first, second), (second, first)):
            if self._kind(found) == "data" and self._is_zero(other) and found.dim() >= other.dim():
                return found
        return None

    def _masked(self, first: Any, second: Any) -> Any:
        if self._is_mask(second, first, True):
            return first
        return second if self._is_mask(first, second, True) else None

    def _is_zero(self, value: Any) -> bool:
        if not isinstance(value, Tensor):
            return isinstance(value, int | float) and value == 0
        # Of a number that comes from nowhere, its value tells.
        number = value.dim() == 0 and not value.requires_grad
        known = number or self._kind(value) == "constant"
        return known and value.device.type != "meta" and not bool(value.any())

    def _put(self, mask: Tensor, source: Tensor, above: bool) -> None:
        self._masks[id(mask)] = (TensorWeakRef(mask), TensorWeakRef(source), source._version, above)

    def _is_mask(self, mask: Any, source: Any, above: bool) -> bool:
        """Whether `mask` says where `source` is positive (negative, if not `above`)."""
        known = self._masks.get(id(mask))
        if known is None or known[0]() is not mask or not isinstance(source, Tensor):
            return False
        return known[1]() is source and known[2] == source._version and known[3] is above
