"""Running library code without letting it see or leave global state: threads and random numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["seeded", "single_thread"]


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit torch and the BLAS libraries to one thread, and put the limits back.

    A surrogate on a few hundred points spends its time in tiny matrices. More threads than one then cost more in
    waiting for each other than they gain; on a busy machine a fit gets many times slower.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with _libraries(len(sys.modules)).limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries that have threads; looked for again, which takes 5 ms, when Python has imported something."""
    return ThreadpoolController()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give torch's global CPU generator a seed, and its old state back afterwards.

    BoTorch draws from it in places that take no generator (restarts of a fit, pruning of baseline points).
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
