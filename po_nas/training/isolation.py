"""Training without leaving a trace in torch's global state: random numbers, cuDNN and precision switches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from po_nas.errors import ConfigError

__all__ = ["chosen_device", "isolated", "reseed"]

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def chosen_device(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``; `ConfigError` for one that is not there."""
    if name == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError("device", name, "is no device of torch; use auto, cpu, cuda or cuda:0") from None
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError("device", name, "trainings run on cpu and cuda")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ConfigError("device", name, f"torch sees {count} GPUs here; use device=auto or device=cpu")
        return torch.device("cuda", device.index if device.index is not None else torch.cuda.current_device())
    return device


@contextmanager
def isolated(device: torch.device, *, deterministic: bool, tf32: bool) -> Iterator[None]:
    """Give back random states and switches as they were.

    Inside, cuDNN searches for its fastest algorithms, or, with `deterministic`, torch uses deterministic ones alone
    (where there is none it warns). `tf32` allows the 19-bit format in 32-bit products on GPUs. Not for several threads
    at once, which would share the state.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(_WORKSPACE)
    precision = torch.get_float32_matmul_precision()
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=tf32
            ),
        ):
            torch.set_float32_matmul_precision("high" if tf32 else "highest")
            if deterministic:
                os.environ.setdefault(_WORKSPACE, ":4096:8")
                torch.use_deterministic_algorithms(True, warn_only=True)
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        if deterministic and workspace is None:
            os.environ.pop(_WORKSPACE, None)


def reseed(device: torch.device, seed: int) -> None:
    """Seed the default generators of the CPU and of `device`, which layers draw from; call it inside `isolated`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
