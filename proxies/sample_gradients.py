"""Gradients of single samples, one at a time, so that memory does not grow with the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from po_nas.errors import ProxyBatchError, UnsupportedModuleError
from proxies.layers import State

__all__ = ["SampleGradients", "batch_statistics", "frozen"]

Statistics: TypeAlias = dict[nn.Module, list[tuple[Tensor, Tensor]]]


def batch_statistics(state: State, inputs: Tensor) -> Statistics:
    """Mean and variance, each (channels,), of every call of every batch normalisation when the whole batch goes in."""
    statistics: Statistics = {part: [] for part in state.module.modules() if isinstance(part, _BatchNorm)}

    def watch(part: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        x = arguments[0]
        dims = [d for d in range(x.dim()) if d != 1]
        statistics[part].append((x.mean(dims), x.var(dims, unbiased=False)))

    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(_modes(state.module, normalising=True))
        for part in statistics:
            stack.callback(part.register_forward_pre_hook(watch).remove)
        state(inputs)
    return statistics


@contextmanager
def frozen(module: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Evaluation mode, with batch normalisation by constant `statistics`.

    The outputs are those of training mode (dropout aside), but samples no longer depend on each other.
    """
    before = {part: part.__dict__.get("forward") for part in statistics}
    with _modes(module, normalising=False):
        try:
            for part, calls in statistics.items():
                part.forward = _normaliser(part, calls)
            yield
        finally:
            for part, forward in before.items():
                part.__dict__.pop("forward", None)
                if forward is not None:
                    part.__dict__["forward"] = forward


@contextmanager
def _modes(module: nn.Module, normalising: bool) -> Iterator[None]:
    """Evaluation mode; batch normalisation alone trains if `normalising`."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = normalising and isinstance(part, _BatchNorm)
        yield
    finally:
        for part, training in modes:
            part.training = training


def _normaliser(part: nn.Module, calls: list[tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    count = 0

    def forward(x: Tensor) -> Tensor:
        nonlocal count
        mean, variance = calls[count % len(calls)]
        count += 1
        return functional.batch_norm(x, mean, variance, part.weight, part.bias, False, 0.0, part.eps)  # type: ignore[arg-type]

    return forward


class SampleGradients:
    """Per-sample gradients by all trainable parameters, flattened to (p,).

    A sample is its own batch; batch normalisation uses the statistics of the whole batch, held constant, and everything
    else is in evaluation mode. Memory is that of one sample, time that of a forward and a backward pass of the batch
    (and of the calls).
    """

    def __init__(
        self, state: State, inputs: Tensor, labels: Tensor | None, loss: Callable[[Tensor, Tensor | None], Tensor]
    ) -> None:
        self._state, self._inputs, self._labels, self._loss = state, inputs, labels, loss
        self._names = [name for name in state.trainable if state.leaves[name].requires_grad]
        if not self._names:
            raise UnsupportedModuleError("*", "no parameter requires a gradient", "gradients")
        self._statistics = batch_statistics(state, inputs)
        self.size = sum(state.leaves[name].numel() for name in self._names)

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

    def of_terms(
        self, terms: Callable[[Tensor], Tensor], by: Sequence[Tensor], count: int
    ) -> Iterator[list[tuple[Tensor, ...]]]:
        """Of the first `count` samples, gradients of each of `terms(outputs)` (k,) by the leaves `by`, zero if
        unused."""
        for k in range(count):
            with frozen(self._state.module, self._statistics):
                values = terms(self._state.outputs(self._inputs[k : k + 1]))
                found = [
                    torch.autograd.grad(value, list(by), retain_graph=True, allow_unused=True, materialize_grads=True)
                    for value in values
                ]
            yield found

    def _each(self, value: Callable[[Tensor, Tensor | None], Tensor], start: int, stop: int | None) -> Iterator[Tensor]:
        for k in range(*slice(start, stop).indices(len(self._inputs))):
            # Frozen anew for each sample: between two of them the module is as its owner knows it.
            with frozen(self._state.module, self._statistics):
                gradient = self._one(value, k)
            yield gradient

    def _one(self, value: Callable[[Tensor, Tensor | None], Tensor], k: int) -> Tensor:
        leaves = [self._state.leaves[name] for name in self._names]
        outputs = self._state.outputs(self._inputs[k : k + 1])
        labels = None if self._labels is None else self._labels[k : k + 1]
        found = torch.autograd.grad(value(outputs, labels), leaves, allow_unused=True)
        return torch.cat(
            [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(found, leaves, strict=True)]
        )
