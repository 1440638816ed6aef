"""Where a network is scored from: what the caller has switched on, and all the state that has to be as before."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["SURROUNDINGS", "changes", "state"]


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _deterministic() -> Iterator[None]:
    before, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype double": lambda: _default_dtype(torch.float64),
    "default dtype half": lambda: _default_dtype(torch.float16),
    "default device meta": lambda: torch.device("meta"),
    "deterministic algorithms": _deterministic,
    "checks of autograd": lambda: torch.autograd.set_detect_anomaly(True),
}
"""What a caller may have switched on; a score does not depend on it."""


def state(module: nn.Module, *tensors: Tensor) -> dict[str, Any]:
    """All that scoring has to leave as it was: of the module, of the tensors, and of Python, numpy and torch."""
    found: dict[str, Any] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        found[f"{name}: attributes"] = {k: _identity(v) for k, v in vars(part).items() if k not in _LOOSE}
        found[f"{name}: class"] = type(part)
        found[f"{name}: mode"] = part.training
        for key, value in vars(part).items():
            if key.endswith("_hooks"):
                found[f"{name}: {key}"] = copy.copy(value)
            elif isinstance(value, Tensor):
                found[f"{name}: {key}"] = value.detach().clone()
        for key, tensor in (*part._parameters.items(), *part._buffers.items()):
            if tensor is not None:
                found[f"{name}: {key}"] = (tensor.detach().clone(), tensor.requires_grad, tensor.grad)
                found[f"{name}: identity of {key}"] = (id(tensor), type(tensor))
        found[f"{name}: parts"] = [(key, id(child)) for key, child in part._modules.items()]
    found["batch"] = [(t.detach().clone(), t.requires_grad, t.grad) for t in tensors]
    legacy: Any = np.random.get_state()  # noqa: NPY002 - read only
    found["random generators"] = (torch.get_rng_state(), random.getstate(), [*legacy[2:], legacy[1].tobytes()])
    for name in _FLAGS:
        found[name] = _FLAGS[name]()
    return found


_LOOSE = ("training", "_flat_weights", "_flat_weight_refs")
"""Attributes whose identity says nothing: the mode, and what recurrent layers look up anew in each call."""


def _identity(value: object) -> object:
    if isinstance(value, Tensor):
        # Made anew by each call of a layer whose weight is computed; its values are compared.
        return None
    return [id(item) for item in value] if isinstance(value, list | tuple) else id(value)


_FLAGS: dict[str, Callable[[], Any]] = {
    "grad mode": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "default dtype": torch.get_default_dtype,
    "default device": torch.get_default_device,
    "autocast": lambda: (
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
    ),
    "threads": torch.get_num_threads,
    "deterministic algorithms": lambda: (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "cudnn": lambda: (
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
    ),
    "fast path of attention": torch.backends.mha.get_fastpath_enabled,
    "kernels of attention": lambda: (
        torch.backends.cuda.flash_sdp_enabled(),  # type: ignore[no-untyped-call]
        torch.backends.cuda.mem_efficient_sdp_enabled(),  # type: ignore[no-untyped-call]
        torch.backends.cuda.math_sdp_enabled(),  # type: ignore[no-untyped-call]
        torch.backends.cuda.cudnn_sdp_enabled(),  # type: ignore[no-untyped-call]
    ),
    "checks of autograd": lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
    "hooks of all modules": lambda: [
        list(getattr(nn.modules.module, name))
        for name in ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
    ],
    "modes of functions": lambda: torch._C._len_torch_function_stack(),
    "modes of operators": lambda: torch._C._len_torch_dispatch_stack(),
}


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What of a `state` is another one now."""
    names = dict.fromkeys((*before, *after))
    return [name for name in names if not _same(before.get(name), after.get(name))]


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(_same(first[k], second[k]) for k in first)
        )
    return bool(first == second)
