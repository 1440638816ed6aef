"""What each tensor of a pass is made of: parameters alone, constants alone, or data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import TensorWeakRef

from proxies.channels import Channels, Together, base_of
from proxies.operators import COPIES, Operand, tensors

__all__ = ["Provenance", "WeightUse"]


@dataclass(slots=True, eq=False)
class WeightUse:
    """A weight in one call of an operator.

    The weight is a view, by `shape`, `stride` and `offset`, of `base`: a parameter, or what was computed from `sources`
    (names of parameters) alone. Bases with the same `key` are the same, computed again. `channels` are the dimensions
    of the `output` (kept if asked for) that the weight makes, counted from the end; `along` is the dimension of the
    weight that runs along them, if it is a single one, and `kept` all dimensions that do. `together` are the channels
    that functions were given together. `lookup`: the input chooses rows of it.
    """

    key: str
    base: Tensor
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    channels: tuple[int, ...]
    along: int | None
    kept: tuple[int, ...]
    convolution: bool
    lookup: bool
    together: Together | None = None
    output: Any = None


@dataclass(slots=True)
class _Known:
    reference: Callable[[], Any]
    sources: frozenset[str]
    copy_of: Tensor | None
    pending: frozenset[int]


_COPIES = COPIES | {
    *(Tensor.repeat, Tensor.reshape, torch.reshape, Tensor.flatten, torch.flatten),
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


class Provenance:
    """Follows the tensors of one pass. `constants` are those that are known before. Tensors of which nothing is known
    are data."""

    def __init__(self, parameters: Mapping[str, Tensor], constants: Iterable[Tensor]) -> None:
        self._order = {name: k for k, name in enumerate(parameters)}
        self._leaves = {id(tensor): name for name, tensor in parameters.items()}
        self._known: dict[int, _Known] = {}
        self._derived: dict[tuple[str, ...], list[Tensor]] = {}
        self.channels = Channels()
        self.needed: set[int] = set()
        for name, tensor in parameters.items():
            self._put(tensor, frozenset({name}))
        for tensor in constants:
            self._put(tensor, frozenset())

    def _put(
        self,
        tensor: Tensor,
        sources: frozenset[str],
        copy_of: Tensor | None = None,
        pending: frozenset[int] = frozenset(),
    ) -> None:
        self._known[id(tensor)] = _Known(TensorWeakRef(tensor), sources, copy_of, pending)

    def _get(self, tensor: Tensor) -> _Known | None:
        known = self._known.get(id(tensor))
        return known if known is not None and known.reference() is tensor else None

    def kind(self, value: Any) -> str:
        """``"weight"``, ``"constant"`` or ``"data"``."""
        if not isinstance(value, Tensor):
            return "constant"
        known = self._get(value)
        if known is None:
            return "constant" if _foreign(value) else "data"
        return "weight" if known.sources else "constant"

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
        base = base_of(tensor)
        name = self.name(base)
        sources = tuple(sorted(known.sources, key=self._order.__getitem__))
        # A copy may have been repeated along new dimensions in front.
        same = used.shape[used.dim() - tensor.dim() :] == tensor.shape if used.dim() >= tensor.dim() else False
        kept: tuple[int, ...] = ()
        channels = operand.channels
        if same and len(operand.kept) == len(channels):
            own = [k for k, d in enumerate(operand.kept) if -d <= tensor.dim()]
            kept = tuple(operand.kept[k] % tensor.dim() for k in own)
            channels = tuple(channels[k] for k in own)
        along = kept[0] if len(kept) == 1 else None
        use = WeightUse(
            self._key(base, sources) if name is None else name,
            base,
            sources if name is None else (name,),
            tuple(tensor.shape),
            tensor.stride(),
            int(tensor.storage_offset()) - int(base.storage_offset()),
            channels,
            along,
            kept,
            operand.convolution,
            operand.lookup,
        )
        if along is not None and len(use.channels) == 1:
            place = (use.key, use.shape, use.stride, use.offset, along)
            use.together = self.channels.of_weight(place, use.shape[along])
        return use

    def _key(self, base: Tensor, sources: tuple[str, ...]) -> str:
        """A name for a computed weight; equal ones of the same parameters are one, computed again."""
        before = self._derived.setdefault(sources, [])
        for k, other in enumerate(before):
            if other is base or (other.shape == base.shape and torch.equal(other, base)):
                return f"{'+'.join(sources)}#{k}"
        before.append(base)
        return f"{'+'.join(sources)}#{len(before) - 1}"

    # -- functions ----------------------------------------------------------------------------------------------------

    def note(
        self,
        function: Callable[..., Any],
        given: list[Tensor],
        result: Any,
        weights: Sequence[Tensor] = (),
        product: int | None = None,
    ) -> None:
        """A function has been called with the tensors `given`, of which it multiplied data by `weights`.

        `product` numbers a product of parameters and constants alone. It is a weight that is computed, unless what
        comes of it is data by another function than such a multiplication: then its number is in `needed`, and it was
        a layer itself.
        """
        data = bool(weights)
        if function in _NEW:
            given = []
        elif function in _SHAPED:
            given = given[:1]
        sources: frozenset[str] = frozenset()
        pending = frozenset() if product is None else frozenset({product})
        for tensor in given:
            known = self._get(tensor)
            if known is None:
                data |= not _foreign(tensor)
            else:
                sources |= known.sources
                if known.pending and not any(tensor is weight for weight in weights):
                    pending |= known.pending
        if data and pending:
            self.needed |= pending
        writes = _writes(function)
        if data:
            # What was made of parameters or constants, and has been written to, is data now.
            for written in given[:1] if writes else ():
                self._known.pop(id(written), None)
                self._known.pop(id(base_of(written)), None)
            return
        changed = given[:1] if writes else [*tensors(result)]
        copy_of = given[0] if function in _COPIES and sources else None
        for tensor in changed:
            if any(tensor is t for t in given):
                copy_of = None
            if copy_of is not None and base_of(tensor) is base_of(copy_of):
                copy_of = None  # a view, no copy
            for made in (tensor, base_of(tensor)):
                before = self._get(made)
                if before is None or not sources <= before.sources:
                    self._put(made, sources, copy_of, pending)


def _foreign(tensor: Tensor) -> bool:
    """Whether a tensor has come from elsewhere, such as numpy, in the pass; the batch is made such that it has not."""
    if tensor.grad_fn is not None or tensor.layout != torch.strided or tensor.is_meta:
        return False
    return not tensor.untyped_storage().resizable()


def _writes(function: Callable[..., Any]) -> bool:
    """Whether a function changes its first argument in place."""
    name: str = getattr(function, "__name__", "")
    return name in ("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__") or (
        name.endswith("_") and not name.endswith("__")
    )
