"""The contract of proxy scores: where the values of proxies for architectures come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture

__all__ = ["Compute", "ComputedProxySource", "ProxySource", "ScoredPart", "ScoringStep", "Watch"]


class ProxySource(ABC):
    """Where proxy scores come from: a table, networks that are built and scored, other sources.

    A subclass has `names` and `origin`, and implements `raw`; names are checked, signs turned and missing scores
    marked here. Scores are not evaluations and cost none of the budget of a search, but they are counted.

    Attributes:
        names: The proxies whose scores can be asked for.
        origin: Where the scores come from, printed with every result.
        computed: Architectures for which networks were built and scored so far; 0 (default) where none ever is.
        directions: 1 or −1 by name: whether higher or lower scores are expected to be better. A name that is absent
            counts as 1.
        reasons: Why scores are missing, by name: one reason of each, where any is known; default: none is.
        further: Names that searches use only where they are asked for (default: none).
    """

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The proxies whose scores can be asked for."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where the scores come from."""

    @property
    def computed(self) -> int:
        """Networks that were built."""
        return 0

    @property
    def directions(self) -> Mapping[str, int]:
        """Which scores are turned, by name."""
        return {}

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why scores are missing, by name: one reason of each, where any is known."""
        return {}

    @property
    def further(self) -> frozenset[str]:
        """Names that searches use only where they are asked for."""
        return frozenset()

    @abstractmethod
    def raw(self, architectures: Sequence[Architecture], names: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        """Scores (n,) of n architectures by name, as they come; NaN or infinite where there is none."""

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Scores (n, k) of n architectures, turned so that higher is expected to be better; NaN where there is none.

        An infinite score orders nothing, so it is NaN too. Raises `UnknownNameError` for a name that is not in `names`.
        """
        offered = self.names
        for name in names:
            if name not in offered:
                raise UnknownNameError("proxy score", name, offered)
        found, directions = self.raw(architectures, tuple(dict.fromkeys(names))), self.directions
        values = np.empty((len(architectures), len(names)))
        for place, name in enumerate(names):
            values[:, place] = found[name] * directions.get(name, 1)
        return np.where(np.isfinite(values), values, np.nan)


@dataclass(frozen=True, slots=True)
class ScoringStep:
    """What has happened since the last step: numbers of scores, one for each pair of architecture and proxy.

    Attributes:
        wanted: Asked for that were not known to this source; those on disk are among them.
        computed: Computed, those that failed included.
        kept: Found on disk.
    """

    wanted: int = 0
    computed: int = 0
    kept: int = 0


Watch: TypeAlias = Callable[[ScoringStep], None]
"""Told of steps: of what is wanted before the first score is computed, then of all scores, each once."""


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """Scores that somebody else has computed.

    Attributes:
        architectures: n of those that were asked for; every one is in exactly one part.
        scores: (n, k) of the k proxies asked for, as `ProxySource.values` gives them; NaN where there is none.
        networks: For how many of them networks were built.
    """

    architectures: Sequence[Architecture]
    scores: NDArray[np.float64]
    networks: int


Compute: TypeAlias = Callable[[Sequence[Architecture], Sequence[str]], Iterator[ScoredPart]]
"""Computes scores of different architectures; parts come as they are done."""


class ComputedProxySource(ProxySource):
    """Proxy scores that cost time, because networks are built and scored."""

    @abstractmethod
    def compute_by(self, compute: Compute) -> None:
        """From now on, ask `compute` for scores that are not known yet, instead of scoring in this process."""

    @abstractmethod
    def keep_in(self, path: str) -> None:
        """From now on, keep scores in a file from one search to the next, unless they are kept somewhere already."""

    @abstractmethod
    def watch(self, watch: Watch) -> None:
        """From now on, say what is wanted and what is done."""
