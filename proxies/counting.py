"""Parameters and operations of a module.

What "FLOPs" means differs between publications, so a convention is named with every count:

* ``macs``: one for each multiplication with its addition in convolutions (transposed ones too), matrix products and
  attention, however they are called; biases, normalisation, activations and pooling are free. NAS-Bench-201 (its
  FLOPs), DARTS (multiply-adds) and most papers count so. By torch's own formulas for its operators.
* ``suite_zero``: what NAS-Bench-Suite-Zero published (arXiv 2210.03230). Counted for each call of these modules, and
  of no others: convolutions their multiplications and biases, linear layers their multiplications, batch normalisation
  two for each element (one without affine parameters), ReLU and its relatives one, pooling its window for each element
  of the output; a window of adaptive pooling counts with one row and one column more. Transposed convolutions and tanh
  count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from po_nas.errors import UnknownNameError

__all__ = ["CONVENTIONS", "OperationCount", "count_operations", "count_parameters"]

CONVENTIONS = ("macs", "suite_zero")


@dataclass(frozen=True, slots=True)
class OperationCount:
    """The operations of one forward pass.

    `total` for the whole input (a batch of one gives the published figures); `by_module` splits it up by the names of
    the submodules in which the operations happen, without those in submodules of theirs (the whole is ``""``).
    """

    convention: str
    total: int
    by_module: dict[str, int]


def count_parameters(module: nn.Module, *, trainable: bool = True) -> int:
    """Number of parameters, shared ones once; only those that require a gradient unless `trainable` is false."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def count_operations(module: nn.Module, *inputs: Tensor, convention: str = "macs") -> OperationCount:
    """Operations of one forward pass of `module` on `inputs`, in evaluation mode and without gradients.

    The module and its input may be on the device ``"meta"``, where nothing is computed: faster for large networks,
    slower for small ones. Modes of all submodules are put back; no other state changes. Raises `UnknownNameError` for
    a convention that is none of `CONVENTIONS`.
    """
    if convention not in CONVENTIONS:
        raise UnknownNameError("convention for counting operations", convention, CONVENTIONS)
    with _evaluating(module), torch.no_grad():
        return _macs(module, inputs) if convention == "macs" else _suite_zero(module, inputs)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        # Attention would run as one of several fused operators, not all of which have a formula.
        torch.backends.mha.set_fastpath_enabled(False)
        module.eval()
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for part, training in modes:
            part.training = training


class _Multiplications(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Multiply-adds of the operators that run, by the name of the innermost module that is running."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_module: dict[str, int] = {}
        self.running = [""]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            # Torch counts a multiply-add as two.
            made = formula(*args, **(kwargs or {}), out_val=result) // 2
            self.by_module[self.running[-1]] = self.by_module.get(self.running[-1], 0) + made
        return result


def _macs(module: nn.Module, inputs: Sequence[Tensor]) -> OperationCount:
    counter = _Multiplications()
    handles = []

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: counter.running.append(name)

    def leave(*_: object) -> None:
        counter.running.pop()

    try:
        for name, part in module.named_modules():
            handles += [part.register_forward_pre_hook(enter(name)), part.register_forward_hook(leave)]
        with counter:
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return OperationCount("macs", sum(counter.by_module.values()), counter.by_module)


def _suite_zero(module: nn.Module, inputs: Sequence[Tensor]) -> OperationCount:
    by_module: dict[str, int] = {}
    handles = []

    def hook(name: str, count: Callable[[Any, Tensor, Tensor], int]) -> Callable[..., None]:
        def add(part: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            by_module[name] = by_module.get(name, 0) + count(part, given[0], output)

        return add

    try:
        for name, part in module.named_modules():
            for kinds, count in _SUITE_ZERO:
                if isinstance(part, kinds):
                    handles.append(part.register_forward_hook(hook(name, count)))
        module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return OperationCount("suite_zero", sum(by_module.values()), by_module)


def _convolution(part: nn.Conv2d, given: Tensor, output: Tensor) -> int:
    window = math.prod(part.kernel_size) * part.in_channels // part.groups
    return output.numel() * (window + (part.bias is not None))


def _linear(part: nn.Linear, given: Tensor, output: Tensor) -> int:
    return output.numel() * part.in_features


def _normalisation(part: nn.BatchNorm2d, given: Tensor, output: Tensor) -> int:
    return given.numel() * (2 if part.affine else 1)


def _activation(part: nn.Module, given: Tensor, output: Tensor) -> int:
    return given.numel()


def _pooling(part: nn.AvgPool2d | nn.MaxPool2d, given: Tensor, output: Tensor) -> int:
    size: Any = part.kernel_size
    return output.numel() * (size * size if isinstance(size, int) else math.prod(size))


def _adaptive_pooling(part: nn.Module, given: Tensor, output: Tensor) -> int:
    rows, columns = (
        [math.ceil((k + 1) * size / bins) - k * size // bins + 1 for k in range(bins)]
        for size, bins in zip(given.shape[-2:], output.shape[-2:], strict=True)
    )
    return math.prod(given.shape[:2]) * sum(rows) * sum(columns)


_SUITE_ZERO: tuple[tuple[tuple[type[nn.Module], ...], Callable[[Any, Tensor, Tensor], int]], ...] = (
    ((nn.Conv2d,), _convolution),
    ((nn.Linear,), _linear),
    ((nn.BatchNorm2d,), _normalisation),
    ((nn.ReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.LeakyReLU), _activation),
    ((nn.AvgPool2d, nn.MaxPool2d), _pooling),
    ((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), _adaptive_pooling),
)
