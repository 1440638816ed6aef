"""What a worker on this machine inherits: environment variables, and which GPUs it may see."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from po_nas.errors import ConfigError

__all__ = ["check_share", "environment", "room", "share", "visible"]

_lock = threading.Lock()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set `variables` meanwhile, one thread at a time; libraries read theirs before a new process could set them."""
    with _lock:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def visible() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; no CUDA context is made."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip() not in {"", "-1", "NoDevFiles"}]
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return []  # torch need not be imported to know
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def check_share(per_trial: float | None, available: float, where: str) -> float:
    """The GPUs of one trial: what was asked for, by default 1 where there are any.

    Raises `ConfigError` when there are fewer, or for 1.5 of them.
    """
    if per_trial is None:
        return 1.0 if available else 0.0
    if per_trial > available:
        raise ConfigError("executor.gpus_per_trial", per_trial, f"{where} {available:g} GPUs")
    if per_trial > 1 and per_trial != int(per_trial):
        raise ConfigError("executor.gpus_per_trial", per_trial, "is neither a whole number nor below 1")
    return per_trial


def room(gpus: int, per_trial: float) -> int:
    """How many trials fit on the GPUs of one machine: 0.4 of a GPU twice on each; 0 where trials have none."""
    if not per_trial:
        return 0
    return gpus * int(1 / per_trial) if per_trial <= 1 else gpus // int(per_trial)


def share(gpus: Sequence[str], lane: int, per_trial: float) -> str:
    """``CUDA_VISIBLE_DEVICES`` of a lane's worker: its own GPUs, or one that several lanes share.

    Lanes beyond the last GPU begin at the first again.
    """
    if not gpus or not per_trial:
        return ""
    if per_trial <= 1:
        slots = int(1 / per_trial)
        return gpus[lane // slots % len(gpus)]
    each = int(per_trial)
    first = lane * each % (len(gpus) - len(gpus) % each)
    return ",".join(gpus[first : first + each])
