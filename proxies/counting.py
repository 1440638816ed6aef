"""Parameters and operations of a module.

What "FLOPs" means differs between publications, so a convention is named with every count:

* ``macs``: one for each multiplication with its addition in convolutions (transposed ones too), matrix products,
  attention and recurrent layers, however they are called; biases, normalisation, activations, pooling, resampling and
  everything elementwise are free. NAS-Bench-201 (its FLOPs), DARTS (multiply-adds) and most papers count so. Masks,
  causal ones too, leave nothing out. `proxies.aten_operators` says which operators count what; one that it does not
  know is refused by name.
* ``suite_zero``: what NAS-Bench-Suite-Zero published (arXiv 2210.03230). Counted for each call of these modules, and
  of no others: convolutions their multiplications and biases, linear layers their multiplications, batch normalisation
  two for each element (one without affine parameters), ReLU and its relatives one, pooling its window for each element
  of the output; a window of adaptive pooling counts with one row and one column more. Transposed convolutions and tanh
  count nothing, nor does what is called as a function. Other layers that multiply, such as `nn.LSTM`, are not in the
  publication and are refused.

What is computed outside of torch's operators, with numpy or a kernel of one's own, is seen by neither.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from po_nas.errors import UnknownNameError, UnsupportedModuleError
from proxies.aten_operators import Accounts, refused

__all__ = ["CONVENTIONS", "OperationCount", "check_shapes", "count_operations", "count_parameters"]

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
    """Number of parameters. One that several layers share counts once: it is stored and learned once.

    Frozen ones, which do not require a gradient, count when `trainable` is false. Buffers, such as the running mean of
    batch normalisation, are no parameters. The proxy ``params`` counts frozen ones too.
    """
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def count_operations(module: nn.Module, *inputs: Tensor, convention: str = "macs") -> OperationCount:
    """Operations of one forward pass of `module` on `inputs`, in evaluation mode and without gradients.

    The module and its input may be on the device ``"meta"``, where nothing is computed: faster for large networks,
    slower for small ones. Compiled modules are counted as they were before. Modes of all submodules are put back; no
    other state changes.

    Raises `UnknownNameError` for a convention that is none of `CONVENTIONS`; `UnsupportedModuleError` for an operator
    whose multiplications are not known, which its `operator` names, and for parameters that have no shape yet.
    """
    if convention not in CONVENTIONS:
        raise UnknownNameError("convention for counting operations", convention, CONVENTIONS)
    check_shapes(module)
    if any(map(_is_compiled, module.modules())) and not hasattr(torch.compiler, "set_stance"):
        raise refused("torch.compile", "cannot be switched off before torch 2.6")
    # In inference mode torch hands over composite operators when autocast is past; their parts would not fit together.
    with torch.inference_mode(False), torch.no_grad(), _evaluating(module):
        inputs = tuple(x.clone() if isinstance(x, Tensor) and x.is_inference() else x for x in inputs)
        return _macs(module, inputs) if convention == "macs" else _suite_zero(module, inputs)


def check_shapes(module: nn.Module) -> None:
    """Raise `UnsupportedModuleError` for a module with parameters that have no shape yet."""
    if any(is_lazy(p) for p in module.parameters()):
        raise UnsupportedModuleError(
            "*", "parameters have no shape before the module is called", "shapes of parameters"
        )


def _is_compiled(part: nn.Module) -> bool:
    return hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    # A frozen script has no modes.
    modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        # Attention and recurrent layers would run as one of several fused operators, not all of which have a formula.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        torch.backends.mha.set_fastpath_enabled(False)
        # Compiled code hides its operators.
        stack.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            module.eval()
            yield
        finally:
            for part, training in modes:
                part.training = training


class _Multiplications(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Multiply-adds of the operators that run, by the name of the innermost module that is running."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_module: dict[str, int] = {}
        self.operators: dict[str, str] = {}
        """By module, the last operator that counted."""
        self.running = [""]
        self.problem: UnsupportedModuleError | None = None
        self._accounts = Accounts()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._accounts.decides(func):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        try:
            made = self._accounts.multiplications(func, types, args, kwargs, result)
        except UnsupportedModuleError as error:
            # Raised when the pass is over: the module must not catch it, and torch takes some for its own.
            self.problem = self.problem or error
            return result
        if made:
            name = self.running[-1]
            self.by_module[name] = self.by_module.get(name, 0) + made
            self.operators[name] = str(func)
        return result


@contextmanager
def _watched(module: nn.Module) -> Iterator[_Multiplications]:
    """Counts the operators that run, and knows in which of the submodules."""
    counter, thread = _Multiplications(), threading.get_ident()
    handles = []

    def enter(name: str) -> Callable[..., None]:
        def note(part: nn.Module, *_: object) -> None:
            counter.running.append(name)
            if threading.get_ident() != thread:
                reason = "runs in another thread, where its operators are not seen"
                counter.problem = counter.problem or refused(type(part).__name__, reason)

        return note

    def leave(*_: object) -> None:
        counter.running.pop()

    try:
        for name, part in module.named_modules():
            # A scripted one runs without calling its submodules.
            if not isinstance(part, torch.jit.ScriptModule):
                handles += [
                    part.register_forward_pre_hook(enter(name)),
                    part.register_forward_hook(leave, always_call=True),
                ]
        with counter:
            yield counter
    finally:
        for handle in handles:
            handle.remove()
    if counter.problem is not None:
        raise counter.problem


def _macs(module: nn.Module, inputs: Sequence[Tensor]) -> OperationCount:
    with _watched(module) as counter:
        module(*inputs)
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
        with _watched(module) as counter:
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    for name, operator in counter.operators.items():
        part = module.get_submodule(name)
        layer = not any(part.children()) or type(part).__module__.startswith("torch.")
        if layer and not isinstance(part, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            raise refused(operator, f"runs in {type(part).__name__}, for which NAS-Bench-Suite-Zero has no count")
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
