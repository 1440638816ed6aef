"""Which rows of a tensor inside of a network belong to which sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from po_nas.errors import UnsupportedModuleError
from proxies.nonlinear import Nonlinearities
from proxies.provenance import WeightUse
from proxies.recording import Captured, record
from proxies.state import State

__all__ = ["SampleRows", "channels_last"]

_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class _Arrangement:
    """The samples are in dimension `axis`, with `each` rows for every sample, one after the other if `together`."""

    axis: int
    each: int = 1
    together: bool = True

    def samples_first(self, tensor: Tensor) -> Tensor:
        """The tensor with samples in dimension 0, and a sample's rows in a dimension of their own."""
        if self.each > 1:
            samples = tensor.shape[self.axis] // self.each
            sizes = (samples, self.each) if self.together else (self.each, samples)
            tensor = torch.unflatten(tensor, self.axis, sizes)
        return tensor.movedim(self.axis if self.together else self.axis + 1, 0)


class SampleRows:
    """Finds the samples in tensors that do not have them in dimension 0, such as tokens in rows of their own.

    The module is run on a few of the samples: a dimension that follows their number holds them. Where it has several
    rows for each, or a function is called that may reorder them, it is run on the same samples in another order, too:
    several rows must follow, and one must not follow another order than that of the batch. Dropout does not happen
    then. A module of several inputs, and one that cannot be called with fewer samples, is not run; there a tensor has
    the samples where its size says so, or none.
    """

    def __init__(self, state: State, inputs: Sequence[Tensor], seed: int) -> None:
        self.samples = len(inputs[0])
        self._first: _Seen | None = None
        self._second: _Seen | None = None
        if len(inputs) > 1:
            return
        few = _few(inputs[0])
        self._few = len(few)
        try:
            with torch.no_grad():
                self._first = _Seen(state, few, seed)
                if self._first.reordering or any(len(t) != self._few for t in self._first.tensors()):
                    self._second = _Seen(state, few[_order(len(few))], seed)
        except Exception:  # The module's own: it is not made for so few samples.
            self._first = self._second = None

    def check_order(self, activated: Sequence[Tensor] = ()) -> None:
        """Raise `UnsupportedModuleError` if anything in the network has the samples in another order.

        So it does where outputs of the activation functions of the pass, `activated`, have as many rows as there are
        samples by chance.
        """
        if self._first is None:
            return
        for before, after in zip(self._first.activated, activated, strict=False):
            if after.dim() and len(after) == self.samples and len(before) != self._few:
                raise _lost("an activation function")
        if self._second is None:
            return
        for before, after in zip(self._first.tensors(), self._second.tensors(), strict=False):
            if len(before) == self._few and _reordered(before, after):
                raise _lost("something")

    def of_relu(self, index: int, output: Tensor) -> Tensor:
        """The output of a ReLU, the `index`-th of the pass, with the samples in dimension 0."""
        seen = [] if self._first is None else self._first.relus
        if not seen and len(output) != self.samples:
            raise _lost("a ReLU")
        if not seen:
            return output
        if index >= len(seen):
            raise _lost("a ReLU")
        other = self._second.relus[index] if self._second and index < len(self._second.relus) else None
        return self._arranged(output, seen[index], other, "a ReLU")

    def count_relus(self, found: int) -> None:
        """Raise `UnsupportedModuleError` if a pass had another number of ReLUs."""
        if self._first is not None and len(self._first.relus) != found:
            raise _lost("a ReLU")

    def of_output(self, index: int, use: WeightUse, tensor: Tensor) -> Tensor:
        """The output of a weight's operator, or a tensor of its shape: (n, …, channels).

        `use` is the `index`-th of the pass.
        """
        found = channels_last(use, tensor)
        seen = [] if self._first is None else self._first.outputs
        if seen and index < len(seen):
            first = channels_last(use, seen[index])
            again = self._second.outputs if self._second else []
            other = channels_last(use, again[index]) if index < len(again) else None
            return self._arranged(found, first, other, "a layer")
        places = [d for d, size in enumerate(found.shape[:-1]) if size == self.samples]
        if seen or not places or (places[0] != 0 and len(places) > 1):
            raise _lost("a layer")
        return found.movedim(places[0], 0)

    def _arranged(self, tensor: Tensor, first: Tensor, second: Tensor | None, what: str) -> Tensor:
        """`tensor` with its samples first; `first` and `second` are the same for a few samples, in two orders."""
        few, many = self._few, self.samples
        moved = [d for d, (a, b) in enumerate(zip(first.shape, tensor.shape, strict=False)) if a != b]
        if first.dim() != tensor.dim() or len(moved) != 1:
            raise _lost(what)
        axis = moved[0]
        each = first.shape[axis] // few
        if first.shape[axis] != few * each or tensor.shape[axis] != many * each:
            raise _lost(what)
        if each == 1:
            if second is not None and second.shape == first.shape:
                before, after = (_Arrangement(axis).samples_first(t) for t in (first, second))
                if _reordered(before, after):
                    raise _lost(what)
            return _Arrangement(axis).samples_first(tensor)
        fitting = [a for a in (_Arrangement(axis, each), _Arrangement(axis, each, False)) if _follows(a, first, second)]
        if len(fitting) != 1:
            raise _lost(what)
        return fitting[0].samples_first(tensor)


class _Seen:
    """ReLUs and outputs of layers for a few samples."""

    def __init__(self, state: State, inputs: Tensor, seed: int) -> None:
        self.relus: list[Tensor] = []
        watch = _Relus(self.relus)
        captured: Captured = record(state, (inputs,), watch, seed=seed, share=False)
        self.outputs: list[Tensor] = [use.output for use in captured.uses]
        self.activated = [call.after for call in watch.calls]
        self.reordering = watch.reordering

    def tensors(self) -> list[Tensor]:
        """Everything, what has no dimension aside."""
        return [tensor for tensor in (*self.relus, *self.outputs, *self.activated) if tensor.dim()]


class _Relus(Nonlinearities):
    def __init__(self, relus: list[Tensor]) -> None:
        super().__init__(keep=True, codes=self._keep, copies=True)
        self.dropout = False
        self._relus = relus

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        super().begin(captured, copied, share)
        self._relus.clear()

    def _keep(self, _: int, output: Tensor) -> Tensor:
        self._relus.append(output.clone())
        return output.new_zeros(1, 1)


def _few(inputs: Tensor) -> Tensor:
    """A few samples, of another number than there are."""
    if len(inputs) > 3:
        return inputs[:3]
    more = inputs.mean(0, keepdim=True) / 2 if inputs.is_floating_point() else inputs[:1]
    return torch.cat([inputs, more])


def _order(samples: int) -> list[int]:
    """Another order of a few samples, which few changes of the order leave what it is."""
    return [1, 0, *range(2, samples)]


def _reordered(before: Tensor, after: Tensor) -> bool:
    """Whether rows (k, …) of the samples in two orders are the same ones, but changed places in another way than the
    samples did."""
    if before.shape != after.shape:
        return False
    a, b = (t.detach().flatten(1).double() for t in (before, after))
    same = (a[:, None] - b[None]).abs().amax(2) <= _TOLERANCE * a.abs().max()
    return not bool(same[_order(len(a)), range(len(a))].all()) and bool(same.any(0).all())


def channels_last(use: WeightUse, tensor: Tensor) -> Tensor:
    """A tensor with what a weight makes of it as its last dimension."""
    if not use.channels:
        return tensor.unsqueeze(-1)
    channels = sorted(c % tensor.dim() for c in use.channels)
    rest = [d for d in range(tensor.dim()) if d not in channels]
    moved = tensor.permute(*rest, *channels)
    return moved if len(channels) == 1 else moved.flatten(len(rest))


def _follows(arrangement: _Arrangement, first: Tensor, second: Tensor | None) -> bool:
    """Whether rows change places as the samples have done."""
    if second is None or second.shape != first.shape:
        return False
    before, after = (arrangement.samples_first(t).double() for t in (first, second))
    off = (before[_order(len(before))] - after).abs().max()
    return bool(off <= _TOLERANCE * before.abs().max())


def _lost(what: str) -> UnsupportedModuleError:
    reason = f"{what} is called on something whose samples cannot be told apart"
    return UnsupportedModuleError("*", reason, "ReLU" if what == "a ReLU" else "samples")
