"""Through which tensors of a pass everything goes: where a network falls into stages, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import TensorWeakRef

from po_nas.errors import UnsupportedModuleError
from proxies.channels import base_of
from proxies.operators import tensors
from proxies.provenance import WeightUse
from proxies.state import first_tensor

__all__ = ["Dataflow", "Feature"]


@dataclass(frozen=True, slots=True)
class Feature:
    """What a stage puts out: `tensor`, attached to the graph, and how functions read it, samples first.

    `axis` is the dimension of what is read that channels lie along.
    """

    tensor: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    axis: int

    def read(self, tensor: Tensor) -> Tensor:
        """`tensor`, which is like the feature's own (its gradient, say), as functions read that."""
        own = self.tensor
        if self.shape == tuple(own.shape) and self.stride == own.stride():
            return tensor
        if tensor.stride() != own.stride():
            tensor = tensor.new_empty_strided(tuple(own.shape), own.stride()).copy_(tensor)
        return tensor.as_strided(self.shape, self.stride, int(tensor.storage_offset()) + self.offset)

    def by_channel(self, read: Tensor) -> Tensor:
        """What is read as (n, channels, …)."""
        return read.movedim(self.axis, 1)

    def detached(self) -> Feature:
        """The same without its graph."""
        return replace(self, tensor=self.tensor.detach())

    @property
    def positions(self) -> bool:
        """Whether there is more than one number for each sample and channel, by the number of dimensions."""
        return len(self.shape) > 2


@dataclass(slots=True, eq=False)
class _Node:
    """A call that puts out something new. `parents` are the calls whose results it was given."""

    tensor: Tensor
    version: int
    parents: tuple[int, ...]
    uses: list[WeightUse]
    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    offset: int = 0
    axis: int | None = None
    used: bool = False
    children: list[int] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the module has changed the result in place since."""
        return self.tensor._version != self.version


class Dataflow:
    """Keeps what is computed from the first input, call by call.

    A stage is what lies between two tensors through which everything goes, and uses a weight of two or more dimensions
    (an embedding aside). What it puts out is the first tensor behind its last weight through which everything goes: a
    layer's output (its bias included), or the sum of its branches. Numbers only: integers and masks that are handed
    past do not count, nor does what leads nowhere.
    """

    def __init__(self) -> None:
        self.copied: frozenset[int] = frozenset()

    def begin(self, first: Tensor, axis: Callable[[Tensor], int | None]) -> None:
        """Start with a pass on the samples `first`; `axis` tells where a tensor's channels are."""
        self._samples, self._axis = len(first), axis
        self._nodes = [_Node(first, first._version, (), [])]
        self._producers: dict[int, tuple[TensorWeakRef, int, int]] = {}
        self._put(first, 0)

    def note(self, given: Sequence[Tensor], result: Any, uses: list[WeightUse], merged: list[WeightUse]) -> Any:
        """A function has been called; returns what the module is handed. `merged`: it has added the biases of these."""
        found = [(tensor, node) for tensor in given if (node := self._producer(tensor)) is not None]
        if not found:
            return result
        bases = {id(base_of(tensor)) for tensor in given}
        results = [r for r in tensors(result) if r.is_floating_point() or r.is_complex()]
        written = [tensor for tensor, _ in found if self._written(tensor)]
        new = [r for r in results if id(base_of(r)) not in bases and self._producer(r) is None]
        for tensor in [t for t, _ in found] if new or written else results:
            self._read(tensor, used=bool(new or written))
        if not new and not written:
            return result
        node = len(self._nodes)
        parents = tuple(dict.fromkeys(k for _, k in found))
        kept = new[0] if new else written[0] if _is_whole(written[0]) else base_of(written[0])
        for use in merged:
            # The product that a bias is added to may have been copied since.
            made = next((k for k in reversed(range(node)) if use in self._nodes[k].uses), None)
            if made is not None:
                self._nodes[made].uses.remove(use)
        if node in self.copied and not new:
            # What comes later is computed from the copy, which stays as it is.
            copy = kept.clone()
            kept.copy_(copy)
            kept = copy
        used = [u for u in (*uses, *merged) if len(u.shape) > 1 and not u.lookup]
        self._nodes.append(_Node(kept, kept._version, parents, used))
        for parent in parents:
            self._nodes[parent].children.append(node)
        if node in self.copied and len(new) == 1 and isinstance(result, Tensor):
            result = result.clone()
            new = [result]
        for tensor in new or written:
            self._put(tensor, node)
        return result

    def features(self, result: Any) -> list[Feature]:
        """What the stages put out, without the last one if that is the module's result.

        Where there are fewer than two, what each weight puts out, in its last call; features without positions are left
        out where others have some. Raises `UnsupportedModuleError` if there are fewer than two then.
        """
        output = first_tensor(result)
        last = None if output is None else self._producer(output)
        live = [] if last is None else self._live(last)

        def inner(numbers: Iterable[int]) -> list[int]:
            # Whatever is done to the result that changes no number, it is the result.
            return [k for k in numbers if k != last and not (output is not None and _equal(self._nodes[k], output))]

        found = _with_positions(inner(self._stages(live)), self._feature)
        if len(found) < 2:
            by_weight = {use.key: k for k in live for use in self._nodes[k].uses}
            found = _with_positions(inner(by_weight.values()), self._feature)
        if len(found) < 2:
            reason = "fewer than two blocks have an output that the proxies of AZ-NAS can use"
            raise UnsupportedModuleError("*", reason, "blocks")
        return found

    def changed(self, result: Any) -> frozenset[int]:
        """The calls whose results are wanted and have been changed by the module since: copies are needed of them."""
        output = first_tensor(result)
        last = None if output is None else self._producer(output)
        if last is None:
            return frozenset()
        live = self._live(last)
        stages = self._stages(live)
        wanted = {*stages, *(k for k in live if self._nodes[k].uses)} if len(stages) < 4 else set(stages)
        return frozenset(k for k in wanted - {last} if self._nodes[k].changed) - self.copied

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _put(self, tensor: Tensor, node: int) -> None:
        base = base_of(tensor)
        self._producers[id(base)] = (TensorWeakRef(base), base._version, node)

    def _producer(self, tensor: Tensor) -> int | None:
        base = base_of(tensor)
        known = self._producers.get(id(base))
        return known[2] if known is not None and known[0]() is base else None

    def _written(self, tensor: Tensor) -> bool:
        base = base_of(tensor)
        return self._producers[id(base)][1] != base._version

    def _read(self, tensor: Tensor, used: bool) -> None:
        """A tensor is `used` by a function, or is a view that may be."""
        producer = self._producer(tensor)
        if producer is None:
            return
        node = self._nodes[producer]
        if node.used or (node.shape and not used):
            return
        if tensor.numel() != node.tensor.numel() or tensor.dim() < 2 or len(tensor) != self._samples:
            return
        node.shape, node.stride, node.used = tuple(tensor.shape), tensor.stride(), used
        node.offset = int(tensor.storage_offset()) - int(node.tensor.storage_offset())
        node.axis = self._axis(tensor)

    def _live(self, last: int) -> list[int]:
        """The calls that the one numbered `last` depends on, and itself, in order."""
        found, left = {last}, [last]
        while left:
            for parent in self._nodes[left.pop()].parents:
                if parent not in found:
                    found.add(parent)
                    left.append(parent)
        return sorted(found)

    def _stages(self, live: Sequence[int]) -> list[int]:
        alive, found = set(live), []
        reach, weighted = 0, False
        for k in live:
            weighted |= bool(self._nodes[k].uses)
            if weighted and reach <= k:
                found.append(k)
                weighted = False
            reach = max([reach, *(child for child in self._nodes[k].children if child in alive)])
        return found

    def _feature(self, number: int) -> Feature:
        node = self._nodes[number]
        tensor = node.tensor
        shape, stride, offset, axis = node.shape, node.stride, node.offset, node.axis
        if not shape:
            shape, stride, axis = tuple(tensor.shape), tensor.stride(), self._axis(tensor)
        if len(shape) < 2 or shape[0] != self._samples:
            reason = "a block puts out something whose samples cannot be told apart"
            raise UnsupportedModuleError("*", reason, "samples")
        return Feature(tensor, shape, stride, offset, 1 if axis is None or axis == 0 else axis)


def _equal(node: _Node, output: Tensor) -> bool:
    return not node.changed and node.tensor.shape == output.shape and torch.equal(node.tensor, output)


def _is_whole(tensor: Tensor) -> bool:
    return tensor.numel() == base_of(tensor).numel()


def _with_positions(numbers: Sequence[int], feature: Callable[[int], Feature]) -> list[Feature]:
    found = [feature(k) for k in numbers]
    return [f for f in found if f.positions] if any(f.positions for f in found) else found
