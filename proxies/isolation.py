"""Scoring a module without leaving a trace: modes, random states, precision flags and, where needed, all its state."""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from po_nas.errors import UnsupportedModuleError
from po_nas.switches import default_switches

__all__ = ["Snapshot", "derive_seed", "isolated", "seeded"]


def derive_seed(seed: int, what: str) -> int:
    """A seed for one purpose, so that what one pass draws does not depend on which others run."""
    digest = hashlib.blake2b(f"{seed}/{what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch (CPU and the current GPU, if one is in use), numpy and Python.

    Their states are put back.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - put back below
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - put back below
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002 - put back here


@contextmanager
def isolated(module: nn.Module) -> Iterator[None]:
    """Training mode with gradients and reproducible kernels, whatever the caller has set; all is put back.

    That is: no autocast, no inference mode, default precision and device, algorithms as torch chooses them, the
    module's GPU current. What the module keeps in attributes is put back too. Its parameters need no care here: passes
    run on leaves of their own.
    """
    snapshot = Snapshot(module, values=False)
    try:
        with default_switches(), _reproducible(), _current(module):
            _train(module)
            yield
    finally:
        snapshot.restore()


def _train(module: nn.Module) -> None:
    try:
        module.train()
    except Exception as error:
        reason = f"{type(module).__name__}.train() raised {type(error).__name__}: {error}"
        raise UnsupportedModuleError("*", reason, "training mode") from error


@contextmanager
def _reproducible() -> Iterator[None]:
    """Kernels that give the same numbers again, algorithms as torch chooses them."""
    strict = torch.are_deterministic_algorithms_enabled()
    warning = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            torch.use_deterministic_algorithms(False)
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warning)


def _current(module: nn.Module) -> AbstractContextManager[object]:
    parameter = next(module.parameters(), None)
    return nullcontext() if parameter is None or not parameter.is_cuda else torch.cuda.device(parameter.device)


_CONTAINERS = (dict, OrderedDict, list, set, deque)
_STATELESS = frozenset({type(None), bool, int, float, str})
"""What most attributes are, and nothing is to be kept of."""


class Snapshot:
    """All state of a module, to be put back after somebody else's code has had it in hand.

    Attributes (registered parameters and buffers, modes, hooks, caches of the module's own) are put back to the same
    objects, lists and dictionaries with the same contents, tensors and arrays with the same memory, shape, type and
    values, generators in the same state. So are those of modules that it keeps without registering them, and of other
    objects that modules keep. `values` includes parameters and their gradients; without it, other tensors alone.
    """

    def __init__(self, module: nn.Module, *, values: bool = True) -> None:
        self._attributes: list[tuple[Any, dict[str, Any]]] = [(part, dict(part.__dict__)) for part in module.modules()]
        self._seen = {id(part) for part, _ in self._attributes}
        self._contents: dict[int, tuple[Any, Any]] = {}
        self._empty: list[Any] = []
        # With each an alias, which keeps its memory, shape and type, and its values.
        self._tensors: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._arrays: list[tuple[np.ndarray, np.ndarray]] = []
        self._generators: list[tuple[Callable[[Any], object], Any]] = []
        parameters = list(module.parameters())
        self._left_out = set() if values else {id(p) for p in parameters}
        # It grows by the modules and objects that are found. Objects of objects (a trainer's data, say) are left alone.
        for part, attributes in self._attributes:
            self._looks_into = isinstance(part, nn.Module)
            for value in attributes.values():
                # Most are hooks that there are not, and there are many.
                if type(value) in _CONTAINERS and not value:
                    self._empty.append(value)
                elif type(value) not in _STATELESS:
                    self._keep(value)
        self._gradients = [
            (p, p.requires_grad, p.grad, None if p.grad is None or not values else p.grad.detach().clone())
            for p in parameters
        ]

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors in attributes, in containers to any depth; without `values`, no parameters."""
        return [tensor for tensor, *_ in self._tensors.values()]

    def _keep(self, value: Any) -> None:
        """Remember what a tensor, a container or an object holds, to any depth."""
        if type(value) in _STATELESS:
            return
        if isinstance(value, Tensor):
            known = id(value) in self._tensors or id(value) in self._left_out
            if not known and not nn.parameter.is_lazy(value):
                alias = value.detach()
                self._tensors[id(value)] = (value, alias, alias.clone())
        elif isinstance(value, nn.Module):
            if id(value) not in self._seen:
                for part in value.modules():
                    self._keep_object(part)
        elif isinstance(value, _CONTAINERS):
            if id(value) in self._contents:
                return
            items = value.values() if isinstance(value, dict) else value
            self._contents[id(value)] = (value, dict(value) if isinstance(value, dict) else [*value])
            for item in items:
                self._keep(item)
        elif isinstance(value, tuple):
            for item in value:
                self._keep(item)
        elif isinstance(value, np.ndarray):
            self._arrays.append((value, value.copy()))
        elif isinstance(value, torch.Generator):
            self._generators.append((value.set_state, value.get_state()))
        elif isinstance(value, np.random.Generator):
            bits = value.bit_generator
            self._generators.append((partial(setattr, bits, "state"), bits.state))
        elif isinstance(value, random.Random):
            self._generators.append((value.setstate, value.getstate()))
        elif self._looks_into and _has_state(value):
            self._keep_object(value)

    def _keep_object(self, value: Any) -> None:
        if id(value) not in self._seen:
            self._seen.add(id(value))
            self._attributes.append((value, dict(value.__dict__)))

    def restore(self) -> None:
        """Put everything back as it was."""
        for part, attributes in self._attributes:
            part.__dict__.clear()
            part.__dict__.update(attributes)
        for container in self._empty:
            if container:
                container.clear()
        for container, content in self._contents.values():
            container.clear()
            if isinstance(container, dict | set):
                container.update(content)
            else:
                container.extend(content)
        for array, values in self._arrays:
            if array.flags.writeable:
                array[...] = values
        for put_back, state in self._generators:
            put_back(state)
        with torch.no_grad():
            for tensor, alias, before in self._tensors.values():
                with torch.inference_mode(tensor.is_inference()):
                    _put_back(tensor, alias, before)
            for parameter, requires_grad, grad, value in self._gradients:
                if parameter.requires_grad != requires_grad:
                    parameter.requires_grad_(requires_grad)
                if parameter.grad is not grad:
                    parameter.grad = grad
                if grad is not None and value is not None:
                    grad.copy_(value)


_FOREIGN = frozenset(("builtins", "numpy", "torch", "functools", "logging", "threading", "weakref", "typing"))
"""Packages whose objects are not looked into: they hold no state of a module, or none that can be put back."""


def _has_state(value: Any) -> bool:
    """Whether a value is an object of somebody's own class that holds attributes."""
    kind = type(value)
    return (
        type(getattr(value, "__dict__", None)) is dict
        and not isinstance(value, type)
        and kind.__module__.partition(".")[0] not in _FOREIGN
        and not callable(getattr(kind, "__get__", None))
    )


def _put_back(tensor: Tensor, alias: Tensor, before: Tensor) -> None:
    """Give a tensor its memory, shape and type again, and that its values."""
    if alias.layout != torch.strided:
        tensor.data = alias
        alias.copy_(before)
        return
    if (tensor.layout, tensor.dtype, tensor.shape) != (alias.layout, alias.dtype, alias.shape) or (
        (tensor.data_ptr(), tensor.stride()) != (alias.data_ptr(), alias.stride())
    ):
        tensor.data = alias
    # Elements of an expanded tensor that share their memory are written once.
    once = tuple(slice(None) if step else slice(0, 1) for step in alias.stride())
    alias[once].copy_(before[once])
