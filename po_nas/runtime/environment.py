"""Environment variables that a process started now inherits."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["environment"]

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
