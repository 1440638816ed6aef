"""Torch's global switches: computing as in a fresh interpreter, whatever the caller has switched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["default_switches", "plain"]

_DEVICES = ("cpu", "cuda")
"""Where surrogates compute, so where autocast would change them."""


@contextmanager
def default_switches() -> Iterator[None]:
    """Compute with torch's switches as they are in a fresh interpreter, and put the caller's back.

    Gradients on, inference mode off, autocast off, new tensors in single precision on the CPU, matrix products of
    single precision in single precision, anomaly detection off. Networks are scored, searchers asked and
    surrogates fitted and asked under it, so that what they find does not depend on a `torch.no_grad()` around the
    search, or on what an objective has switched and left so. It serves as a decorator too.

    The number of threads is `surrogates.isolation.single_thread`'s. `torch.use_deterministic_algorithms` stays as it
    is: on a CPU it changes nothing here, and on a GPU it is a wish to be heeded.

    Costs some tens of microseconds where there is nothing to switch. It does not import torch: where nobody has,
    nobody has switched anything.
    """
    if "torch" not in sys.modules:
        yield
        return
    import torch

    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device() != torch.device("cpu"):
            stack.enter_context(torch.device("cpu"))
        if torch.is_anomaly_enabled():
            stack.enter_context(torch.autograd.set_detect_anomaly(False))
        _full_precision(stack, torch)
        yield


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that may be trained on: itself, or a copy of one that was made in inference mode."""
    if not tensor.is_inference():
        return tensor
    with default_switches():
        return tensor.clone()


def _full_precision(stack: ExitStack, torch: Any) -> None:
    """Some processors multiply single precision in less, when they are allowed to.

    Torch has an old and a new way to allow it, and raises when it is asked by the old one after the new one was used.
    """
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        for where in (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul):
            stack.callback(setattr, where, "fp32_precision", where.fp32_precision)
            where.fp32_precision = "ieee"
        return
    if before != "highest":
        stack.callback(torch.set_float32_matmul_precision, before)
        torch.set_float32_matmul_precision("highest")
