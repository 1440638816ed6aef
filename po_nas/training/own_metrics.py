"""Training-free metrics on images of the data set that is trained on, read when the first metric is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from po_nas.core.proxy_source import Compute
from po_nas.spaces.base import Architecture, Space
from po_nas.training.live_metrics import LiveMetrics
from proxies.batch import Batch

__all__ = ["OwnMetrics"]

_SIX = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacov")
"""Those of PO-NAS; together they cost three to five passes through the network."""


class OwnMetrics:
    """The six metrics of PO-NAS; implements `po_nas.core.proxy_source.ComputedProxySource`.

    `scoring` gives the options of the network and the batch when the first metric is asked for. Scores are kept in
    ``scores.sqlite`` of `folder`, if there is one.
    """

    names: tuple[str, ...] = _SIX

    def __init__(self, space: Space, scoring: Callable[[], tuple[dict[str, Any], Batch]], folder: Path | None) -> None:
        self._space, self._scoring, self._folder = space, scoring, folder
        self._compute: Compute | None = None

    @cached_property
    def _live(self) -> LiveMetrics:
        if self._compute is not None:
            # Images and cache are read where the scores are computed.
            live = LiveMetrics(self._space, self.names, None)
            live.compute_by(self._compute)
            return live
        options, batch = self._scoring()
        cache = None
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            cache = self._folder / "scores.sqlite"
        return LiveMetrics(self._space, self.names, batch, network=options, cache=cache)

    def compute_by(self, compute: Compute) -> None:
        """Have others compute what is asked for from now on; before anything was asked for."""
        self._compute = compute
        self.__dict__.pop("_live", None)

    @property
    def origin(self) -> str:
        """Who computes the scores, and on what."""
        return f"networks of {self._space.name} as they are trained, scored by po-nas on training images"

    @property
    def computed(self) -> int:
        """Architectures for which a network was built and scored by this object."""
        return self._live.computed if "_live" in self.__dict__ else 0

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Metrics (n, k), higher = expected to be better, NaN where it failed."""
        return self._live.values(architectures, names)
