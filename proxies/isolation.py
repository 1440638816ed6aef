"""Scoring a module without leaving a trace: modes, random states, precision flags and, where needed, all its state."""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Snapshot", "derive_seed", "isolated", "seeded"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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
    """Training mode with gradients and reproducible kernels, the module's GPU current; all is put back.

    Parameters and buffers need no care here: passes run on copies of the buffers and on leaves of their own.
    """
    modes = [(part, part.training) for part in module.modules()]
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        module.train()
        with torch.inference_mode(False), torch.enable_grad(), flags, _current(module):
            yield
    finally:
        for part, training in modes:
            part.training = training


def _current(module: nn.Module) -> AbstractContextManager[object]:
    parameter = next(module.parameters(), None)
    return nullcontext() if parameter is None or not parameter.is_cuda else torch.cuda.device(parameter.device)


class Snapshot:
    """All state of a module, to be put back after somebody else's code has had it in hand."""

    def __init__(self, module: nn.Module) -> None:
        self._parts = [
            (part, part.training, {name: copy.copy(getattr(part, name)) for name in _HOOKS})
            for part in module.modules()
        ]
        self._parameters = [
            (p, p.detach().clone(), p.requires_grad, p.grad, None if p.grad is None else p.grad.detach().clone())
            for p in module.parameters()
        ]
        self._buffers: list[tuple[Tensor, Tensor]] = [(b, b.detach().clone()) for b in module.buffers()]

    def restore(self) -> None:
        """Put everything back as it was."""
        with torch.no_grad():
            for parameter, value, requires_grad, grad, grad_value in self._parameters:
                parameter.data.copy_(value)
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad
                if grad is not None and grad_value is not None:
                    grad.copy_(grad_value)
            for buffer, value in self._buffers:
                buffer.copy_(value)
        for part, training, hooks in self._parts:
            part.training = training
            for name, content in hooks.items():
                current = getattr(part, name)
                current.clear()
                current.update(content)
