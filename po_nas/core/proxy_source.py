"""Training-free metrics of architectures, as a search method may ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from po_nas.spaces.base import Architecture

__all__ = ["Compute", "ComputedProxySource", "ProxySource"]


@runtime_checkable
class ProxySource(Protocol):
    """Where the metrics of architectures come from: a table of scores, or networks that are built and scored.

    Metrics are not evaluations and cost none of the budget of a search, but they are counted: `computed`.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that can be asked for."""
        ...

    @property
    def origin(self) -> str:
        """Where the scores come from, printed with every result."""
        ...

    @property
    def computed(self) -> int:
        """Architectures for which networks were built and scored so far; 0 for a table."""
        ...

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Metrics (n, k) of n architectures, turned so that higher is expected to be better; NaN where there is none.

        Raises `UnknownNameError` for a name that is not in `names`.
        """
        ...


Compute: TypeAlias = Callable[[Sequence[Architecture], Sequence[str]], tuple[NDArray[np.float64], int]]
"""Metrics (n, k) as `ProxySource.values` gives them, and for how many architectures networks were built."""


@runtime_checkable
class ComputedProxySource(ProxySource, Protocol):
    """Metrics that cost time, because networks are built and scored."""

    def compute_by(self, compute: Compute) -> None:
        """From now on, ask `compute` for scores that are not known yet, instead of scoring in this process."""
        ...
