"""In which number format a network is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from po_nas.training.recipe import Recipe

__all__ = ["Precision"]


@dataclass(frozen=True, slots=True)
class Precision:
    """`dtype` of products and convolutions (None: float32 throughout), and whether images are stored channels last."""

    device: torch.device
    dtype: torch.dtype | None
    channels_last: bool

    @classmethod
    def of(cls, recipe: Recipe, device: torch.device) -> Precision:
        """What a recipe means on a device."""
        gpu = device.type == "cuda"
        name = recipe.precision
        if name == "auto":
            name = "fp32" if not gpu else "bf16" if _has_bf16(device) else "fp16"
        dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
        return cls(device, dtype, recipe.channels_last)

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


def _has_bf16(device: torch.device) -> bool:
    """Whether a GPU has bfloat16 in hardware; older ones emulate it, slowly."""
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
