"""What a forward pass of a module costs on this machine: its time, measured, and the memory of its tensors, counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer

from po_nas.errors import ConfigError, UnsupportedModuleError, described
from po_nas.switches import default_switches
from proxies.batch import Batch, BatchLike
from proxies.counting import check_shapes
from proxies.isolation import Snapshot, seeded

__all__ = ["Latency", "device_here", "evaluating", "measure_latency", "peak_memory"]

_LEAST = 5
"""Timed passes at least, however long one takes."""


class Latency(NamedTuple):
    """Time of a forward pass of a batch.

    Attributes:
        median_ms: Median of the timed blocks, ms per pass.
        iqr_ms: Their interquartile range, ms.
        passes: Timed passes.
        samples: Size of the batch.
        device: Where the module is, such as ``cpu``.
        threads: Of the processor.
    """

    median_ms: float
    iqr_ms: float
    passes: int
    samples: int
    device: str
    threads: int


def measure_latency(
    module: nn.Module, batch: BatchLike, *, seed: int = 0, threads: int = 1, seconds: float = 1.0
) -> Latency:
    """Measure the time of a forward pass, in evaluation mode and without gradients, where the module is.

    Passes that warm up take a fifth of the time and are not counted. A GPU is waited for. The module, global generators
    and the number of threads are left as they were. What else runs on the machine slows passes down: measure when it is
    idle.

    Args:
        module: Any, on the device that is asked about.
        batch: What it is called with; labels are ignored. It goes to the device of the module.
        seed: Of what the module draws.
        threads: That a pass may use on the processor.
        seconds: That are spent on timing, at least; five passes are timed in any case.

    Raises:
        ConfigError: For a number of threads or seconds that is not positive.
        UnsupportedModuleError: For a module that cannot run on the batch, or is on the device ``"meta"``.
    """
    if threads < 1:
        raise ConfigError("threads", threads, "must be at least 1")
    if not 0 < seconds < float("inf"):
        raise ConfigError("seconds", seconds, "must be a positive number")
    with evaluating(module, batch, seed) as inputs:
        device = _device(module, inputs)
        if device.type == "meta":
            raise UnsupportedModuleError("latency", "on the device 'meta' nothing is computed", "numbers")
        timer = Timer("module(*inputs)", globals={"module": module, "inputs": inputs}, num_threads=threads)
        until = time.perf_counter() + seconds / 5
        timer.timeit(1)
        while time.perf_counter() < until:
            timer.timeit(1)
        found = timer.blocked_autorange(min_run_time=seconds)
        blocks, passes = list(found.times), len(found.times) * found.number_per_run
        while passes < _LEAST:
            blocks.append(timer.timeit(1).median)
            passes += 1
    low, median, high = 1e3 * np.percentile(blocks, [25, 50, 75])
    return Latency(float(median), float(high - low), passes, len(inputs[0]), str(device), threads)


def device_here(name: str, key: str = "device") -> torch.device:
    """The device of that name, such as ``cpu`` or ``cuda:1``; `ConfigError` with `key` where this machine has none."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(key, name, "is no device of this machine") from error
    return device


def peak_memory(module: nn.Module, batch: BatchLike, *, seed: int = 0) -> float:
    """Most memory that tensors take at a time in a forward pass, MB (10⁶ bytes), in evaluation mode without gradients.

    Parameters, buffers, inputs and what operators hand on are counted, each storage once, for as long as anything
    refers to it. What a kernel takes for itself while it runs, and what an allocator keeps, is not, so that the number
    is the same on every machine, also on the device ``"meta"``, where nothing is computed.

    Args:
        module: Any; nothing of it changes.
        batch: What it is called with; labels are ignored.
        seed: Of what the module draws.

    Raises:
        UnsupportedModuleError: For a module that cannot run on the batch.
    """
    with evaluating(module, batch, seed) as inputs:
        watch = _Storages((*module.parameters(), *module.buffers(), *inputs))
        with watch:
            module(*inputs)
    return watch.most / 1e6


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The bytes of the storages that are alive, at most, while operators run."""

    def __init__(self, held: tuple[Tensor, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0
        self._note(held)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._note(tensor for tensor in tree_leaves(result) if isinstance(tensor, Tensor))
        return result

    def _note(self, tensors: Any) -> None:
        self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}  # type: ignore[no-untyped-call]
        for tensor in tensors:
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            self._alive[reference.cdata] = reference, storage.nbytes()
        self.most = max(self.most, sum(size for _, size in self._alive.values()))


@contextmanager
def evaluating(module: nn.Module, batch: BatchLike, seed: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """The module in evaluation mode, without gradients, as a fresh interpreter computes; yields what it is called with.

    All is put back. What the module raises is an `UnsupportedModuleError`.
    """
    check_shapes(module)
    given = _moved(Batch.of(batch), module)
    snapshot = Snapshot(module)
    try:
        with default_switches(), torch.no_grad(), seeded(seed):
            module.eval()
            yield given
    except UnsupportedModuleError:
        raise
    except Exception as error:
        raise UnsupportedModuleError("*", f"{type(module).__name__} raised {described(error)}", "output") from error
    finally:
        snapshot.restore()


def _moved(batch: Batch, module: nn.Module) -> tuple[Tensor, ...]:
    """The inputs where the module is, in its precision; copies, for they may be a small part of a large tensor."""
    real = next((p for p in module.parameters() if p.is_floating_point()), None)
    return tuple(x.clone() for x in (batch if real is None else batch.to(real.device, real.dtype)).inputs)


def _device(module: nn.Module, inputs: tuple[Tensor, ...]) -> torch.device:
    return next((p.device for p in module.parameters()), inputs[0].device)
