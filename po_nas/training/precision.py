"""In which number format a network is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from po_nas.training.recipe import Recipe
from proxies.channels_last import corrupts_memory

__all__ = ["Precision", "safe_in_channels_last"]


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
