"""What another task has told about architectures of the same space."""

from __future__ import annotations

from dataclasses import dataclass

from po_nas.spaces.base import Architecture

__all__ = ["SourceTask"]


@dataclass(frozen=True)
class SourceTask:
    """Architectures that were evaluated on another task, and their search signals there, higher = better.

    A method may learn from them what to expect here; they say nothing about the values here.
    """

    task: str
    architectures: tuple[Architecture, ...]
    scores: tuple[float, ...]
