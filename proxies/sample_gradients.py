"""Gradients of single samples, one at a time, so that memory does not grow with the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from po_nas.errors import ProxyBatchError, UnsupportedModuleError
from proxies.layers import Layers, no_layers, targets
from proxies.operators import BATCH_NORMS, Call
from proxies.recording import Captured, Watch, record
from proxies.state import State

__all__ = ["SampleGradients", "batch_statistics", "frozen"]

Statistics: TypeAlias = dict[str, list[tuple[Tensor, Tensor]]]
"""Mean and variance, each (channels,), of every call of every batch normalisation, by its name."""


class _BatchNorms(Watch):
    """Sees batch normalisations by name: that of the buffer of their running mean, else of their weight."""

    weights = False

    def __init__(self, dropout: bool = True) -> None:
        super().__init__(dropout=dropout)

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        super().begin(captured, copied, share)
        named = (*captured.parameters.items(), *captured.buffers.items())
        self._names = {id(tensor): name for name, tensor in named}

    def normalise(self, call: Call) -> Any:
        places = BATCH_NORMS.get(call.function)
        if places is None:
            return call.run()
        mean, _, weight, bias, training = (
            call.get(k, name)
            for k, name in zip(places, ("running_mean", "running_var", "weight", "bias", "training"), strict=True)
        )
        eps = call.get(7, "eps")
        name = self._names.get(id(mean), self._names.get(id(weight), ""))
        return self.batch_norm(name, call, bool(training), (weight, bias, 1e-5 if eps is None else eps))

    def batch_norm(self, name: str, call: Call, training: bool, affine: tuple[Any, Any, float]) -> Any:
        """The result of a batch normalisation."""
        raise NotImplementedError


class _Kinds(_BatchNorms):
    """Finds out which batch normalisations use the statistics of the batch in training mode."""

    def __init__(self) -> None:
        super().__init__(dropout=False)
        self.by_batch: set[str] = set()

    def batch_norm(self, name: str, call: Call, training: bool, affine: tuple[Any, Any, float]) -> Any:
        if training:
            self.by_batch.add(name)
        return call.run()


class _Collecting(_BatchNorms):
    """Normalises by the batch, and keeps its statistics."""

    def __init__(self, by_batch: set[str], samples: int) -> None:
        super().__init__()
        self._by_batch, self._samples = by_batch, samples

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        super().begin(captured, copied, share)
        self.statistics: Statistics = {}

    def batch_norm(self, name: str, call: Call, training: bool, affine: tuple[Any, Any, float]) -> Any:
        if not training and name not in self._by_batch:
            return call.run()
        x = call.get(0, "input")
        if len(x) % self._samples:
            # No rows of samples: a weight that is standardised.
            return call.run()
        dims = [d for d in range(x.dim()) if d != 1]
        mean, variance = x.mean(dims), x.var(dims, unbiased=False)
        self.statistics.setdefault(name, []).append((mean, variance))
        weight, bias, eps = affine
        return Call(functional.batch_norm, [x, None, None, weight, bias, True, 0.0, eps], {}).run()


class _Replaying(_BatchNorms):
    """Normalises by constant statistics, call by call."""

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self._statistics = statistics

    def begin(self, captured: Captured, copied: frozenset[int], share: bool) -> None:
        super().begin(captured, copied, share)
        self._calls: dict[str, int] = {}

    def batch_norm(self, name: str, call: Call, training: bool, affine: tuple[Any, Any, float]) -> Any:
        known = self._statistics.get(name)
        if known is None:
            return call.run()
        if not self.recording and len(known) > 1:
            reason = "a batch normalisation that is called more than once cannot be part of a checkpoint"
            raise UnsupportedModuleError("*", reason, "one call")
        count = self._calls.get(name, 0)
        self._calls[name] = count + 1
        mean, variance = known[count % len(known)]
        weight, bias, eps = affine
        arguments = [call.get(0, "input"), mean, variance, weight, bias, False, 0.0, eps]
        return Call(functional.batch_norm, arguments, {}).run()


class _ReplayingWeights(_Replaying):
    """The same, and keeps the weights that are used."""

    weights = True


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, training in modes:
            part.training = training


_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
"""Difference of two outputs, relative to the largest, that is put down to rounding."""


def batch_statistics(state: State, inputs: Tensor) -> tuple[Statistics, Tensor]:
    """The statistics of every batch normalisation that uses the batch's in training mode, when all of it goes in, and
    the outputs.

    Everything else is in evaluation mode. Raises `UnsupportedModuleError` for a module that uses the whole batch for
    the output of a sample in training mode by other functions than those of batch normalisation: samples have no
    gradients of their own there.
    """
    kinds = _Kinds()
    with torch.no_grad():
        trained = state.checked(record(state, (inputs,), kinds).result, len(inputs))
        collecting = _Collecting(kinds.by_batch, len(inputs))
        with _evaluating(state.module):
            outputs = state.checked(record(state, (inputs,), collecting).result, len(inputs))
        state.refuse_nan(outputs)
        if not _same(trained, outputs):
            _check_alone(state, inputs, collecting.statistics, 0)
    return collecting.statistics, outputs


def _same(outputs: Tensor, others: Tensor) -> bool:
    if outputs.shape != others.shape:
        return False
    off = (outputs - others).abs().max() > _TOLERANCE.get(outputs.dtype, 0.0) * others.abs().max()
    return not bool(off)


def _check_alone(state: State, inputs: Tensor, statistics: Statistics, k: int) -> None:
    """Refuse a module whose output for sample `k` is another one if the others are, all else being equal."""
    found = []
    with torch.no_grad():
        for batch in (inputs, inputs[k : k + 1].expand_as(inputs).clone()):
            watch = _Replaying(statistics)
            watch.dropout = False
            found.append(state.checked(record(state, (batch,), watch, seed=0).result, len(batch))[k])
    if not _same(*found):
        reason = (
            "the output for a sample depends on the other samples by other functions than batch_norm, so samples have "
            "no gradients of their own; use torch's batch normalisation"
        )
        raise UnsupportedModuleError("*", reason, "separate samples")


def frozen(state: State, inputs: Tensor, statistics: Statistics) -> Captured:
    """The module in evaluation mode, with batch normalisation by constant `statistics`.

    The outputs are those of training mode (dropout aside), but samples no longer depend on each other.
    """
    with _evaluating(state.module):
        return record(state, (inputs,), _Replaying(statistics))


class SampleGradients:
    """Per-sample gradients by all parameters, flattened to (p,) in the order of the module's definition.

    A sample is its own batch; batch normalisation uses the statistics of the whole batch, held constant, and everything
    else is in evaluation mode. Memory is that of one sample, time that of a forward and a backward pass of the batch
    (and of the calls).
    """

    def __init__(
        self, state: State, inputs: Tensor, labels: Tensor | None, loss: Callable[[Tensor, Tensor | None], Tensor]
    ) -> None:
        self._state, self._inputs, self._labels, self._loss = state, inputs, labels, loss
        self._leaves = [leaf for leaf in state.leaves.values() if leaf.requires_grad]
        if not self._leaves:
            raise UnsupportedModuleError("*", "no parameter is a real number", "gradients")
        self._statistics, self._outputs = batch_statistics(state, inputs)
        self.size = sum(leaf.numel() for leaf in self._leaves)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._inputs)

    def of_outputs(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Gradients of the sum of a sample's outputs."""
        return self._each(lambda outputs, _: outputs.sum(), start, stop)

    def of_losses(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Gradients of a sample's loss."""
        if self._labels is None:
            raise ProxyBatchError("*", "labels are needed; pass the batch as (inputs, labels)", "labels")
        return self._each(self._loss, start, stop)

    def of_terms(self, terms: Callable[[Tensor], Tensor], count: int) -> Iterator[list[list[Tensor]]]:
        """Of the first `count` samples, for each of `terms(outputs)` (k,) its gradients by the weights of the layers.

        Raises `UnsupportedModuleError` where there are no layers, or not the same for every sample.
        """
        used: set[str] | None = None
        for k in range(count):
            with _evaluating(self._state.module):
                captured = record(self._state, (self._inputs[k : k + 1],), _ReplayingWeights(self._statistics))
                layers = Layers(self._state.module, captured.uses)
                keys = {layer.part.key for layer in layers.layers}
                if not keys:
                    raise no_layers(self._state.module)
                if used is not None and keys != used:
                    reason = "the module uses other weights for other samples"
                    raise UnsupportedModuleError("*", reason, "the same layers for all samples")
                used = keys
                values = terms(self._alone(captured, k))
                bases = targets(captured.uses)
                flat = [base for same in bases.values() for base in same]
                found = []
                for value in values:
                    left = iter(captured.gradients([value], flat, retain=True))
                    by_key = {key: sum((next(left) for _ in same[1:]), next(left)) for key, same in bases.items()}
                    found.append(layers.of_bases(by_key))
            yield found

    def _each(self, value: Callable[[Tensor, Tensor | None], Tensor], start: int, stop: int | None) -> Iterator[Tensor]:
        for k in range(*slice(start, stop).indices(len(self._inputs))):
            yield self._one(value, k)

    def _alone(self, captured: Captured, k: int) -> Tensor:
        """The output of a pass of a sample alone; `UnsupportedModuleError` unless that is what it is in the batch."""
        outputs = self._state.checked(captured.result, 1)
        if not _same(outputs.detach(), self._outputs[k : k + 1]):
            # Else it is another one by chance alone.
            with _evaluating(self._state.module):
                _check_alone(self._state, self._inputs, self._statistics, k)
        return outputs

    def _one(self, value: Callable[[Tensor, Tensor | None], Tensor], k: int) -> Tensor:
        captured = frozen(self._state, self._inputs[k : k + 1], self._statistics)
        outputs = self._alone(captured, k)
        labels = None if self._labels is None else self._labels[k : k + 1]
        loss = value(outputs, labels)
        with _evaluating(self._state.module):
            found = captured.gradients([loss], self._leaves)
        return torch.cat([g.flatten() for g in found])
