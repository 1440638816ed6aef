"""A benchmark's recorded metrics, and further ones that are computed by building networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from po_nas.core.objective import Objective
from po_nas.core.proxy_source import Compute, ComputedProxySource, ProxySource
from po_nas.errors import UnknownNameError
from po_nas.spaces.base import Architecture
from po_nas.training.inputs import inputs_of
from po_nas.training.live_metrics import LiveMetrics, with_metrics

__all__ = ["BothMetrics", "compute_metrics"]


class BothMetrics:
    """Two sources as one; where both have a metric, the first is asked. Implements
    `ComputedProxySource`."""

    def __init__(self, first: ProxySource, second: ProxySource) -> None:
        self._first, self._second = first, second

    def compute_by(self, compute: Compute) -> None:
        """Have others compute what either source has to compute."""
        for source in (self._first, self._second):
            if isinstance(source, ComputedProxySource):
                source.compute_by(compute)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics of both."""
        return tuple(dict.fromkeys((*self._first.names, *self._second.names)))

    @property
    def origin(self) -> str:
        """Where the scores of each come from."""
        return f"{self._first.origin}; {', '.join(self._second.names)}: {self._second.origin}"

    @property
    def computed(self) -> int:
        """Architectures whose networks were built."""
        return self._first.computed + self._second.computed

    def values(self, architectures: Sequence[Architecture], names: Sequence[str]) -> NDArray[np.float64]:
        """Metrics (n, k), higher = expected to be better, NaN where there is none."""
        for name in names:
            if name not in self.names:
                raise UnknownNameError("metric", name, self.names)
        found = np.empty((len(architectures), len(names)))
        theirs = [name in self._first.names for name in names]
        for source, own in ((self._first, True), (self._second, False)):
            columns = [column for column, first in enumerate(theirs) if first == own]
            if columns:
                found[:, columns] = source.values(architectures, [names[column] for column in columns])
        return found


def compute_metrics(
    objective: Objective, names: Sequence[str], *, samples: int = 16, cache: str | None = None, workers: int = 1
) -> Objective:
    """The same objective with metrics computed on demand beside those that are recorded, on inputs of `inputs_of`.

    An objective that trains is scored on images of its own, whatever `samples` says.

    `names` are proxies or patterns; one of the same name as a recorded metric is computed all the same and asked for
    first. Raises `UnknownNameError` for a proxy that there is not, `ConfigError` for a space without networks.
    """
    scoring = getattr(objective, "scoring", None)
    # One that trains has images and a network of its own.
    network, batch = inputs_of(objective.name, objective.space, samples) if scoring is None else scoring()
    live = LiveMetrics(objective.space, names, batch, network=network, cache=cache, workers=workers)
    recorded = getattr(objective, "metrics", None)
    return with_metrics(objective, live if recorded is None else BothMetrics(live, recorded))
