"""Where in the tensors of a pass the channels are that weights have made, and which of them are used together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import TensorWeakRef

from proxies.operators import COPIES, tensors
from proxies.pointwise import is_pointwise

__all__ = ["Channels", "Together", "base_of", "sizes_of"]

_MOST = 1 << 22
"""Elements up to which the channels of a view are listed."""

_JOINING: dict[Callable[..., Any], bool] = {
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), False),
    torch.stack: True,
}
"""Functions that put tensors side by side, and whether in a new dimension."""


@dataclass(slots=True, eq=False)
class Together:
    """The channels of one weight, in all of its calls. `sets` are those that functions were given together, None for
    all of them."""

    channels: int
    sets: list[frozenset[int] | None] = field(default_factory=list)

    @property
    def all(self) -> bool:
        """Whether all have been used together."""
        return None in self.sets

    def add(self, channels: frozenset[int]) -> None:
        """A function has been given these."""
        found = None if len(channels) == self.channels else channels
        if found not in self.sets:
            self.sets.append(found)


_Columns: TypeAlias = tuple[dict[bytes, np.ndarray], frozenset[int]]
"""Channels of a weight by slot: arrays of one channel for each slot, and channels that are in all slots."""


@dataclass(slots=True)
class _Slots:
    """The dimension of a tensor along which channels lie, as a place in its memory: slot k of `count` is where
    (offset of an element − `offset`) // `stride` % `count` is k. `held` are the channels of weights in the slots."""

    reference: TensorWeakRef
    version: int
    offset: int
    stride: int
    count: int
    held: dict[Together, _Columns] = field(default_factory=dict)
    product: Any = None


class Channels:
    """Follows the channels that operators with weights put out, through views, copies and functions that act on each
    number by itself. What is done to them by any other function is done to them together."""

    def __init__(self) -> None:
        self._known: dict[int, _Slots] = {}
        self._weights: dict[Hashable, Together] = {}

    def of_weight(self, key: Hashable, channels: int) -> Together:
        """The record of a weight, by its place in a parameter."""
        return self._weights.setdefault(key, Together(channels))

    def put(self, output: Tensor, channel: int, together: Together | None, product: Any) -> None:
        """`output` is what a weight makes, its channels along a dimension (counted from the end)."""
        slots = self._slots(output, channel % output.dim())
        if slots is not None:
            if together is not None and not together.all:
                slots.held = {together: _identity(slots.count)}
            slots.product = product

    def axis(self, tensor: Tensor) -> int | None:
        """The dimension of a tensor that its channels lie along; None where it is not known."""
        slots = self._get(tensor)
        if slots is None:
            return None
        place = _place(tensor, slots)
        return None if place is None else place[0]

    def biased(self, data: Tensor, bias: Tensor, total: Tensor) -> tuple[Any, int] | None:
        """The product that `data` is all of, and the dimension (from the end) of its channels, if `bias` is a number
        for each of them and `total` their sum; it is no product any more then, but `total` is."""
        slots = self._get(data)
        if slots is None or slots.product is None or total.shape != data.shape:
            return None
        place = _place(data, slots)
        if data.numel() != base_of(data).numel() or place is None or place[1:] != (0, 1):
            return None
        axis = place[0] - data.dim()
        sizes = sizes_of(bias)
        if data.shape[axis] != slots.count or sizes not in ({axis: slots.count}, {} if slots.count == 1 else None):
            return None
        product, slots.product = slots.product, None
        return product, axis

    def note(self, function: Callable[..., Any], given: Sequence[Tensor], result: Any, operator: bool) -> None:
        """A function has been called with the tensors `given`; `operator`: it multiplies by a weight."""
        if not self._known:
            return
        found = [(tensor, slots) for tensor in given if (slots := self._get(tensor)) is not None]
        if not found:
            return
        results = list(tensors(result))
        writes = function is torch.Tensor.__setitem__
        if not results and not writes:
            return
        changed = False
        for tensor, slots in found:
            version = base_of(tensor)._version
            changed |= version != slots.version
            slots.version = version
        bases = {id(base_of(tensor)) for tensor in given}
        if not changed and all(id(base_of(r)) in bases for r in results):
            return  # views
        if operator or writes or len(results) != 1:
            self._consume(found)
            return
        (total,) = results
        if id(base_of(total)) in bases:
            self._in_place(found, total, is_pointwise(function))
        elif function in _JOINING:
            self._join(found, given, total, _JOINING[function])
        elif is_pointwise(function) and all(_reaches(tensor, total) for tensor, _ in found):
            self._spread(found, total)
            copy = self._get(total)
            if function in COPIES and copy is not None and len(found) == 1:
                copy.product, found[0][1].product = found[0][1].product, None
        else:
            self._consume(found)
            for tensor, slots in found:
                place = _place(tensor, slots)
                if place is None or tensor.dim() != total.dim():
                    continue
                if total.shape[place[0]] == tensor.shape[place[0]]:
                    self._slots(total, place[0])
                    break

    def end(self, result: Any) -> None:
        """The module has returned `result`: that is used as it is."""
        self._consume([(tensor, slots) for tensor in tensors(result) if (slots := self._get(tensor)) is not None])

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _get(self, tensor: Tensor) -> _Slots | None:
        base = base_of(tensor)
        slots = self._known.get(id(base))
        return slots if slots is not None and slots.reference() is base else None

    def _slots(self, tensor: Tensor, axis: int) -> _Slots | None:
        """Let the channels of a new tensor lie along `axis`, if its memory is such that its views tell them apart."""
        stride, count = tensor.stride(axis), tensor.shape[axis]
        others = [(n, s) for d, (n, s) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)) if d != axis]
        others = [(n, s) for n, s in others if n > 1 and s]
        inner = sum((n - 1) * s for n, s in others if s < stride)
        outer = [s for _, s in others if s >= stride]
        if count > 1 and (stride < 1 or inner >= stride or any(s % (stride * count) for s in outer)):
            return None
        base = base_of(tensor)
        slots = _Slots(
            TensorWeakRef(base), base._version, int(tensor.storage_offset()), max(stride, 1), count if count > 1 else 1
        )
        self._known[id(base)] = slots
        return slots

    def _consume(self, found: Sequence[tuple[Tensor, _Slots]]) -> None:
        for tensor, slots in found:
            for together, columns in list(slots.held.items()):
                if not together.all:
                    together.add(_channels(tensor, slots, columns))
                if together.all:
                    del slots.held[together]

    def _spread(self, found: Sequence[tuple[Tensor, _Slots]], total: Tensor) -> None:
        """`total` has at each place what is made of the numbers at that place."""
        axes = [(place[0] - tensor.dim()) for tensor, slots in found if (place := _place(tensor, slots)) is not None]
        if not axes:
            self._consume(found)
            return
        slots = self._slots(total, axes[0] % total.dim())
        if slots is None:
            self._consume(found)
            return
        for tensor, before in found:
            self._hold(slots, tensor, before, axes[0])

    def _hold(self, slots: _Slots, tensor: Tensor, before: _Slots, axis: int, start: int = 0) -> None:
        """`slots`, along `axis` from its end, hold what `tensor` holds (from slot `start` on)."""
        for together, columns in before.held.items():
            if together.all:
                continue
            arrays, everywhere = slots.held.get(together, ({}, frozenset()))
            place = _place(tensor, before)
            if place is None or place[0] - tensor.dim() != axis or start or slots.count != tensor.shape[axis]:
                # Known for all of them alone, which is enough where a weight is cut into whole pieces.
                slots.held[together] = arrays, everywhere | _channels(tensor, before, columns)
                continue
            first, step = place[1:]
            mine = [array[first : first + step * slots.count : step] for array in columns[0].values()]
            arrays = arrays | {array.tobytes(): array for array in map(np.ascontiguousarray, mine)}
            slots.held[together] = arrays, everywhere | columns[1]

    def _in_place(self, found: Sequence[tuple[Tensor, _Slots]], total: Tensor, pointwise: bool) -> None:
        """A tensor has been changed."""
        own = base_of(total)
        target = self._get(total)
        whole = target is not None and total.numel() == own.numel() and pointwise
        place = None if target is None or not whole else _place(total, target)
        if place is None or not all(_reaches(tensor, total) for tensor, _ in found):
            self._consume(found)
            return
        assert target is not None
        target.product = None
        for tensor, slots in found:
            if base_of(tensor) is not own:
                self._hold(target, tensor, slots, place[0] - total.dim())

    def _join(self, found: Sequence[tuple[Tensor, _Slots]], given: Sequence[Tensor], total: Tensor, new: bool) -> None:
        """Tensors have been put side by side."""
        places = [(tensor, slots, _place(tensor, slots)) for tensor, slots in found]
        known = [(tensor, place[0]) for tensor, _, place in places if place is not None]
        if not known:
            self._consume(found)
            return
        tensor, axis = known[0]
        if new:
            # The new dimension is the one without which the shape is that of a part.
            fitting = [d for d in range(total.dim()) if total.shape[:d] + total.shape[d + 1 :] == tensor.shape]
            along = next((d for d in fitting if total.shape[d] == len(given)), 0)
            axis += along <= axis
        elif total.shape[axis] != tensor.shape[axis]:
            self._consume(found)
            self._slots(total, axis)
            return
        slots = self._slots(total, axis)
        if slots is None or (not new and any(place is None or place[0] != axis for _, _, place in places)):
            self._consume(found)
            return
        for part, before in found:
            self._hold(slots, part, before, axis - total.dim() if not new else _before(axis, along, total.dim()))


def _before(axis: int, along: int, dimensions: int) -> int:
    """The dimension, from the end, that a stacked tensor's `axis` is in a part."""
    return axis - (along < axis) - (dimensions - 1)


def sizes_of(tensor: Tensor) -> dict[int, int]:
    """The dimensions (from the end) along which a tensor holds several numbers, and how many.

    A dimension without a step repeats what is there.
    """
    return {d - tensor.dim(): size for d, size in enumerate(tensor.shape) if size > 1 and tensor.stride(d)}


def base_of(tensor: Tensor) -> Tensor:
    """What a tensor is a view of, or itself."""
    base = tensor._base if tensor._is_view() else None
    return tensor if base is None or base.dtype != tensor.dtype else base


def _identity(count: int) -> _Columns:
    array = np.arange(count)
    return {array.tobytes(): array}, frozenset()


def _reaches(tensor: Tensor, total: Tensor) -> bool:
    """Whether a tensor, broadcast, has the shape of the total."""
    shape = total.shape[total.dim() - tensor.dim() :]
    return tensor.dim() <= total.dim() and all(a in (b, 1) for a, b in zip(tensor.shape, shape, strict=True))


def _place(view: Tensor, slots: _Slots) -> tuple[int, int, int] | None:
    """The one dimension of a view that runs along the slots, the first slot and the step; None if there is none."""
    step, count = slots.stride, slots.count
    start = int(view.storage_offset()) - slots.offset
    inner, along = start % step, None
    for d, (size, stride) in enumerate(zip(view.shape, view.stride(), strict=True)):
        if size < 2 or not stride % (step * count):
            continue
        if stride < step:
            inner += (size - 1) * stride
        elif stride % step or along is not None:
            return None
        else:
            along = d
    if along is None or inner >= step:
        return None
    first, by = start // step % count, view.stride(along) // step
    return (along, first, by) if first + (view.shape[along] - 1) * by < count else None


def _channels(view: Tensor, slots: _Slots, columns: _Columns) -> frozenset[int]:
    """The channels of a weight that a view holds."""
    held = _held_slots(view, slots)
    found = set(columns[1])
    for array in columns[0].values():
        found.update((array if held is None else array[held]).tolist())
    return frozenset(found)


def _held_slots(view: Tensor, slots: _Slots) -> np.ndarray | None:
    """The slots that a view has, None for all."""
    step, total = slots.stride, slots.count
    start = int(view.storage_offset()) - slots.offset
    dims = [(size, stride) for size, stride in zip(view.shape, view.stride(), strict=True) if size > 1 and stride]
    # A step of all slots leads to the same slot.
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
    return np.unique(offsets // step % total)
