"""Torch's global switches, switched: what neither a search nor a surrogate may depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch

__all__ = ["SWITCHES", "state", "switched"]


def _put_back(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    @contextmanager
    def context() -> Iterator[None]:
        before = read()
        write(value)
        try:
            yield
        finally:
            write(before)

    return context


SWITCHES: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "dtype": _put_back(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    # Torch cannot set the default device inside of a device's context, if it was set before.
    "default device": _put_back(lambda: None, torch.set_default_device, "meta"),
    "device": lambda: torch.device("meta"),
    "deterministic": _put_back(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True),
    "precision": _put_back(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": _put_back(torch.get_num_threads, torch.set_num_threads, 3),
}
"""By name, a context that switches and puts back."""


@contextmanager
def switched(*names: str) -> Iterator[None]:
    """Some of `SWITCHES`, or all at once without names; fails unless they are the same at the end."""
    with ExitStack() as stack:
        for name in names or SWITCHES:
            stack.enter_context(SWITCHES[name]())
        before = state()
        yield
        after = state()
        assert before == after, f"switches are {after}, they were {before}"


def state() -> dict[str, Any]:
    """The switches as they are."""
    return {
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "anomaly": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
    }
