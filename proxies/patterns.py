"""Binary codes of activations, eight samples to a byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

__all__ = ["agreement", "distinct_columns", "pack", "unpack"]

_CHUNK = 1 << 18
"""Units that are unpacked at a time; bounds memory, not values."""


def pack(activation: Tensor) -> Tensor:
    """Where an activation (n, …) is positive, as bytes (⌈n / 8⌉, units): bit k of byte g is sample 8 g + k."""
    bits = (activation.detach() > 0).flatten(1)
    missing = -len(bits) % 8
    if missing:
        bits = torch.cat([bits, bits.new_zeros(missing, bits.shape[1])])
    grouped = bits.view(torch.uint8).view(-1, 8, bits.shape[1])
    packed = grouped[:, 0].clone()
    for k in range(1, 8):
        packed.add_(grouped[:, k], alpha=1 << k)
    return packed


def unpack(codes: Tensor, samples: int) -> Tensor:
    """Inverse of `pack`: 0 or 1, (n, units), as bytes."""
    shifts = torch.arange(8, dtype=torch.uint8, device=codes.device).view(1, 8, 1)
    return ((codes.unsqueeze(1) >> shifts) & 1).reshape(-1, codes.shape[1])[:samples]


def _chunks(codes: Sequence[Tensor]) -> Iterator[Tensor]:
    for layer in codes:
        yield from torch.split(layer, _CHUNK, dim=1)


def agreement(codes: Sequence[Tensor], samples: int) -> Tensor:
    """How many units have the same bit in two samples: (n, n), double; the diagonal is the number of units."""
    kernel = torch.zeros(samples, samples, dtype=torch.float64, device=codes[0].device)
    for chunk in _chunks(codes):
        # Signs ±1: their product sums to agreements minus disagreements. Sums up to 2^18 are exact in single precision.
        signs = unpack(chunk, samples).float().mul_(2).sub_(1)
        kernel += (signs @ signs.mT + chunk.shape[1]).double() / 2
    return kernel


def distinct_columns(codes: Sequence[Tensor]) -> int:
    """Number of different columns (patterns of one unit over all samples) in all layers together."""
    columns = torch.cat(list(codes), dim=1)
    words = -len(columns) % 8
    columns = torch.cat([columns, columns.new_zeros(words, columns.shape[1])]) if words else columns
    identity = torch.zeros(columns.shape[1], dtype=torch.int64, device=columns.device)
    for start in range(0, len(columns), 8):
        word = columns[start : start + 8].mT.contiguous().view(torch.int64).squeeze(1)
        values, index = torch.unique(word, return_inverse=True)
        # Both factors are at most the number of units, so the product does not overflow.
        _, identity = torch.unique(identity * len(values) + index, return_inverse=True)
    return int(identity.max()) + 1
