"""Where and in which number format networks are trained, without leaving a trace in torch's global state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from po_nas.errors import ConfigError
from po_nas.training.recipe import Recipe
from proxies.channels_last import corrupts_memory

__all__ = ["Precision", "chosen_device", "isolated", "reseed", "safe_in_channels_last"]

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


@dataclass(frozen=True, slots=True)
class Precision:
    """`dtype` of products and convolutions (None: float32 throughout), and whether images are stored channels last."""

    device: torch.device
    dtype: torch.dtype | None
    channels_last: bool

    @classmethod
    def of(cls, recipe: Recipe, device: torch.device, network: nn.Module) -> Precision:
        """The formats in which `recipe` trains `network` on `device`.

        On a CPU, images are stored channels last where the recipe says so and `safe_in_channels_last` allows it.
        """
        gpu = device.type == "cuda"
        name = recipe.precision
        if name == "auto":
            name = "fp32" if not gpu else "bf16" if _has_bf16(device) else "fp16"
        dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
        channels_last = recipe.channels_last and (device.type != "cpu" or safe_in_channels_last(network))
        return cls(device, dtype, channels_last)

    def autocast(self) -> AbstractContextManager[object]:
        """Run the network in the chosen format; weights stay in float32."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss for float16, whose range gradients leave; does nothing for the other formats."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)

    @property
    def memory_format(self) -> torch.memory_format:
        """How images and convolutions are stored."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def safe_in_channels_last(network: nn.Module) -> bool:
    """Whether the CPU kernels of torch can train a network whose images are stored channels last.

    They cannot where a convolution `corrupts_memory`. Weights of modules other than `torch.nn.Conv2d` that have the
    shape of such a convolution count as one, for their stride cannot be read.
    """
    return not any(
        weight.dim() == 4 and corrupts_memory(weight.shape, module.stride if isinstance(module, nn.Conv2d) else 2)
        for module in network.modules()
        for weight in module.parameters(recurse=False)
    )


def _has_bf16(device: torch.device) -> bool:
    """Whether a GPU has bfloat16 in hardware; older ones emulate it, slowly."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
