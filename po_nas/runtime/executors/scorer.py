"""Training-free metrics computed by the workers of an executor, piece by piece, beside the trials that they run."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from po_nas.runtime.executors.base import Completed, Executor, Scoring
from po_nas.spaces.base import Architecture

__all__ = ["Scorer"]

_log = logging.getLogger(__name__)

_MOST = 64
"""Architectures in one piece: so many are lost with a worker at most."""


class Scorer:
    """Has metrics of an executor's objective computed by its workers; a `po_nas.core.proxy_source.Compute`.

    Free workers take pieces at once, others when their trial is done. A piece that fails (it takes too long, too much
    memory, or its worker time and again) is cut into single architectures; one that fails alone has no metrics (NaN).
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._numbers = itertools.count(-1, -1)

    def __call__(self, architectures: Sequence[Architecture], names: Sequence[str]) -> tuple[NDArray[np.float64], int]:
        """Metrics (n, k), and for how many architectures a network was built. Raises `ExecutorError`."""
        self._executor.open()
        found = np.full((len(architectures), len(names)), np.nan)
        texts = [self._executor.objective.space.to_string(architecture) for architecture in architectures]
        pieces = max(1, self._executor.workers * self._executor.scorings)
        each = max(1, min(_MOST, math.ceil(len(texts) / pieces)))
        parts = (tuple(range(first, min(first + each, len(texts)))) for first in range(0, len(texts), each))
        failed, computed = self._fill(found, texts, tuple(names), parts)
        if each > 1 and failed:
            failed, more = self._fill(found, texts, tuple(names), ((row,) for row in failed))
            computed += more
        if failed:
            _log.warning("no metrics of %d of %d architectures", len(failed), len(texts))
        return found, computed

    def _fill(
        self,
        found: NDArray[np.float64],
        texts: Sequence[str],
        names: tuple[str, ...],
        pieces: Iterable[tuple[int, ...]],
    ) -> tuple[list[int], int]:
        """Fill the rows of the pieces; those that could not be filled, and how many networks were built."""
        asked = {next(self._numbers): rows for rows in pieces}
        jobs = [Scoring(number, tuple(texts[row] for row in rows), names) for number, rows in asked.items()]
        failed: list[int] = []
        computed = 0
        for done in self._executor.finish(jobs):
            rows = asked[done.number]
            if done.outcome.failure is not None:
                _log.warning("metrics of %d architectures: %s", len(rows), _words(done))
                failed += rows
                continue
            computed += int(done.outcome.metrics.get("computed", 0))
            for position, row in enumerate(rows):
                found[row] = [done.outcome.metrics.get(f"{position} {name}", np.nan) for name in names]
        return failed, computed


def _words(done: Completed) -> str:
    return f"{done.outcome.failure}" + (f"\n{done.details}" if done.details else "")
