"""Where and from what initial weights are drawn, without a trace in global state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

__all__ = ["on_meta", "seeded"]


@contextmanager
def seeded(seed: int | torch.Generator) -> Iterator[None]:
    """Give torch's global CPU generator a seed, and its old state back afterwards.

    Layers draw their initial weights from it when they are made; there is no way to hand them a generator. Of a
    generator one number is drawn as the seed. Tensors are made on the CPU whatever torch's default device is. Not for
    several threads at once, which would share the global generator.
    """
    if isinstance(seed, torch.Generator):
        seed = int(torch.randint(2**63 - 1, (), generator=seed, device=seed.device))
    default = torch.get_default_device()
    with torch.random.fork_rng(devices=[]), nullcontext() if default.type == "cpu" else torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        yield


def on_meta() -> AbstractContextManager[object]:
    """Make modules whose tensors have shapes and no storage; initialisers then draw nothing."""
    device: AbstractContextManager[object] = torch.device("meta")
    return device
