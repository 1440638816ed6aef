"""Which calls may put the samples of a batch in another order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from proxies.operators import Call

__all__ = ["may_reorder"]

_CHOOSING: frozenset[Callable[..., Any]] = frozenset(
    found
    for home in (torch, Tensor)
    for name in (
        *("index_select", "index_copy", "index_copy_", "index_put", "index_put_", "index_add", "index_add_", "gather"),
        *("scatter", "scatter_", "scatter_add", "scatter_add_", "take", "take_along_dim", "masked_select", "flip"),
        *("masked_scatter", "masked_scatter_", "fliplr", "flipud", "roll", "rot90", "sort", "msort", "argsort", "topk"),
    )
    if callable(found := getattr(home, name, None))
)
"""Functions that choose or order rows."""
_INDEXING: frozenset[Callable[..., Any]] = frozenset({Tensor.__getitem__, Tensor.__setitem__})
_JOINING: frozenset[Callable[..., Any]] = frozenset({torch.cat, torch.concat, torch.concatenate, torch.stack})
_JOINING_ROWS: frozenset[Callable[..., Any]] = frozenset({torch.vstack, torch.row_stack, torch.hstack})
_SWAPPING: frozenset[Callable[..., Any]] = frozenset(
    found
    for home in (torch, Tensor)
    for name in ("transpose", "transpose_", "swapaxes", "swapdims", "permute", "movedim", "moveaxis")
    if callable(found := getattr(home, name, None))
)


_TRANSPOSED: frozenset[Callable[..., Any]] = frozenset(getattr(Tensor, name).__get__ for name in ("T", "mT", "H", "mH"))


def may_reorder(call: Call) -> bool:
    """Whether a call may put rows of its first dimension in another order; nothing else does, or in steps with these.

    A product with a matrix that depends on the number of samples is not seen.
    """
    function = call.function
    if function in _CHOOSING or function in _JOINING_ROWS:
        return True
    if function in _INDEXING:
        index = call.arguments[1] if len(call.arguments) > 1 else None
        return any(isinstance(k, Tensor | list) for k in (index if isinstance(index, tuple) else (index,)))
    if function in _JOINING:
        along = call.get(1, "dim")
        first = call.arguments[0] if call.arguments else call.keywords.get("tensors", ())
        dimensions = max((t.dim() for t in first if isinstance(t, Tensor)), default=0) + (function is torch.stack)
        return along is None or along == 0 or along == -dimensions
    if function in _SWAPPING:
        given = call.arguments[0] if call.arguments else call.keywords.get("input")
        dims = [d for value in (*call.arguments[1:], *call.keywords.values()) for d in _whole(value)]
        size = given.dim() if isinstance(given, Tensor) else 0
        if getattr(function, "__name__", "") == "permute":
            return bool(dims) and dims[0] % max(size, 1) != 0
        return any(d % max(size, 1) == 0 for d in dims)
    return function in _TRANSPOSED


def _whole(value: Any) -> list[int]:
    if isinstance(value, int):
        return [value]
    return [k for k in value if isinstance(k, int)] if isinstance(value, list | tuple) else []
