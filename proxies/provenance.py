"""What each tensor of a pass is made of: parameters alone, constants alone, or data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import TensorWeakRef

from proxies.operators import Operand, tensors

__all__ = ["Provenance", "WeightUse"]


@dataclass(slots=True, eq=False)
class WeightUse:
    """A weight in one call of an operator.

    The weight is a view, by `shape`, `stride` and `offset`, of `base`: a parameter, or what was computed from `sources`
    (names of parameters) alone. Bases with the same `key` are the same, computed again. `channels` are the dimensions
    of the `output` (kept if asked for) that the weight makes, counted from the end; `along` is the dimension of the
    weight that runs along them, if it is a single one. `consumed` are the sets of channels that functions were given,
    None for all.
    """

    key: str
    base: Tensor
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    channels: tuple[int, ...]
    along: int | None
    convolution: bool
    output: Any = None
    consumed: list[frozenset[int] | None] = field(default_factory=list)


@dataclass(slots=True)
class _Known:
    reference: Callable[[], Any]
    sources: frozenset[str]
    copy_of: Tensor | None


@dataclass(slots=True)
class _Followed:
    reference: TensorWeakRef
    version: int
    use: WeightUse
    offset: int
    stride: int
    channels: int


_COPIES = {
    *(Tensor.clone, torch.clone, Tensor.contiguous, Tensor.repeat, Tensor.reshape, torch.reshape, Tensor.flatten),
    *(torch.flatten, Tensor.to, Tensor.float, Tensor.double, Tensor.half, Tensor.bfloat16, Tensor.type, Tensor.type_as),
    *(Tensor.tile, torch.tile, Tensor.expand_as, Tensor.reshape_as, Tensor.repeat_interleave, torch.repeat_interleave),
}
"""Functions whose result holds the elements of their first argument and no others."""

_SHAPED = {Tensor.expand_as, Tensor.view_as, Tensor.reshape_as, Tensor.type_as, Tensor.to}
"""Functions that look at nothing but the shape and the type of what follows their first argument."""

_NEW = {
    *(torch.zeros_like, torch.ones_like, torch.full_like, torch.empty_like, torch.rand_like, torch.randn_like),
    *(Tensor.new_zeros, Tensor.new_ones, Tensor.new_full, Tensor.new_empty, Tensor.new_tensor),
}
"""Functions that look at nothing but the shape and the type of their arguments."""

_MOST = 1 << 22
"""Elements up to which the channels of a view are listed."""


class Provenance:
    """Follows the tensors of one pass. Tensors of which nothing is known are data."""

    def __init__(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        self._order = {name: k for k, name in enumerate(parameters)}
        self._leaves = {id(tensor): name for name, tensor in parameters.items()}
        self._known: dict[int, _Known] = {}
        self._derived: dict[tuple[str, ...], list[Tensor]] = {}
        self._followed: dict[int, list[_Followed]] = {}
        self.touched: set[str] = set()
        for name, tensor in parameters.items():
            self._put(tensor, frozenset({name}))
        for tensor in buffers.values():
            self._put(tensor, frozenset())

    def _put(self, tensor: Tensor, sources: frozenset[str], copy_of: Tensor | None = None) -> None:
        self._known[id(tensor)] = _Known(TensorWeakRef(tensor), sources, copy_of)

    def _get(self, tensor: Tensor) -> _Known | None:
        known = self._known.get(id(tensor))
        return known if known is not None and known.reference() is tensor else None

    def kind(self, value: Any) -> str:
        """``"weight"``, ``"constant"`` or ``"data"``."""
        if not isinstance(value, Tensor):
            return "constant"
        known = self._get(value)
        return "data" if known is None else "weight" if known.sources else "constant"

    def name(self, tensor: Tensor) -> str | None:
        """The name of a parameter."""
        return self._leaves.get(id(tensor)) if self._get(tensor) is not None else None

    # -- weights ------------------------------------------------------------------------------------------------------

    def use(self, used: Tensor, operand: Operand) -> WeightUse:
        """The record of a weight in a call."""
        tensor, known = used, self._get(used)
        while known is not None and known.copy_of is not None:
            tensor = known.copy_of
            known = self._get(tensor)
        assert known is not None
        base = _base(tensor)
        name = self.name(base)
        sources = tuple(sorted(known.sources, key=self._order.__getitem__))
        return WeightUse(
            self._key(base, sources) if name is None else name,
            base,
            sources if name is None else (name,),
            tuple(tensor.shape),
            tensor.stride(),
            int(tensor.storage_offset()) - int(base.storage_offset()),
            operand.channels,
            operand.along if tensor.shape == used.shape else None,
            operand.convolution,
        )

    def _key(self, base: Tensor, sources: tuple[str, ...]) -> str:
        """A name for a computed weight; equal ones of the same parameters are one, computed again."""
        before = self._derived.setdefault(sources, [])
        for k, other in enumerate(before):
            if other is base or (other.shape == base.shape and torch.equal(other, base)):
                return f"{'+'.join(sources)}#{k}"
        before.append(base)
        return f"{'+'.join(sources)}#{len(before) - 1}"

    # -- functions ----------------------------------------------------------------------------------------------------

    def note(self, function: Callable[..., Any], given: list[Tensor], result: Any, data: bool) -> None:
        """A function has been called with the tensors `given`; `data`: its result is data whatever they are."""
        if self._followed:
            self._consume(function, given, result)
        if function in _NEW:
            given = []
        elif function in _SHAPED:
            given = given[:1]
        sources: frozenset[str] = frozenset()
        for tensor in given:
            known = self._get(tensor)
            if known is None:
                data = True
            else:
                sources |= known.sources
        self.touched |= sources
        writes = _writes(function)
        if data:
            # What was made of parameters or constants, and has been written to, is data now.
            for written in given[:1] if writes else ():
                self._known.pop(id(written), None)
                self._known.pop(id(_base(written)), None)
            return
        changed = given[:1] if writes else [*tensors(result)]
        copy_of = given[0] if function in _COPIES and sources else None
        for tensor in changed:
            if any(tensor is t for t in given):
                copy_of = None
            if copy_of is not None and _base(tensor) is _base(copy_of):
                copy_of = None  # a view, no copy
            for made in (tensor, _base(tensor)):
                before = self._get(made)
                if before is None or not sources <= before.sources:
                    self._put(made, sources, copy_of)

    def follow(self, use: WeightUse, result: Any) -> None:
        """See what becomes of the channels of an operator's output."""
        if use.along is None or len(use.channels) != 1 or not isinstance(result, Tensor):
            return
        base, (channel,) = _base(result), use.channels
        found = _Followed(
            TensorWeakRef(base),
            result._version,
            use,
            int(result.storage_offset()),
            result.stride(channel),
            result.shape[channel],
        )
        # Another tensor may have had this identity before.
        before = [other for other in self._followed.get(id(base), ()) if other.reference() is base]
        self._followed[id(base)] = [*before, found]

    def _consume(self, function: Callable[..., Any], given: list[Tensor], result: Any) -> None:
        results = list(tensors(result))
        writes = function is Tensor.__setitem__
        if not results and not writes:
            return
        for tensor in given:
            base = _base(tensor)
            for followed in self._followed.get(id(base), ()):
                if followed.reference() is not base:
                    continue
                changed = base._version != followed.version
                followed.version = base._version
                if changed or not all(r is tensor or _base(r) is base for r in results):
                    followed.use.consumed.append(_channels(tensor, followed))


def _writes(function: Callable[..., Any]) -> bool:
    """Whether a function changes its first argument in place."""
    name: str = getattr(function, "__name__", "")
    return name in ("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__") or (
        name.endswith("_") and not name.endswith("__")
    )


def _base(tensor: Tensor) -> Tensor:
    """What a tensor is a view of, or itself."""
    base = tensor._base if tensor._is_view() else None
    return tensor if base is None or base.dtype != tensor.dtype else base


def _channels(view: Tensor, followed: _Followed) -> frozenset[int] | None:
    """The channels of an output that a view of it holds, None for all."""
    step, total = followed.stride, followed.channels
    start = int(view.storage_offset()) - followed.offset
    dims = [(size, stride) for size, stride in zip(view.shape, view.stride(), strict=True) if size > 1 and stride]
    # A step of all channels leads to the same channel.
    dims = [(size, stride) for size, stride in dims if stride % (step * total)]
    inner = [(size, stride) for size, stride in dims if stride < step]
    if start % step + sum((size - 1) * stride for size, stride in inner) < step:
        dims = [d for d in dims if d not in inner]
    if any(stride == step and size >= total for size, stride in dims):
        return None
    if np.prod([float(size) for size, _ in dims], initial=1.0) > _MOST:
        return None
    offsets = np.array([start])
    for size, stride in dims:
        offsets = np.unique((offsets[:, None] + np.arange(size) * stride).ravel())
    found = frozenset(np.unique(offsets // step % total).tolist())
    return None if len(found) == total else found
