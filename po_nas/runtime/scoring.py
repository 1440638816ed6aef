"""How far the scoring of architectures is: numbers of proxy scores, seconds, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from po_nas.core.proxy_source import ScoringStep

__all__ = ["Scored", "ScoringMeter", "ScoringProgress"]

_SPAN_S = 0.5
"""Seconds that a rate is taken over at least."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What was spent on proxy scores.

    Attributes:
        computed: Scores that were computed, one for each pair of architecture and proxy; those that failed included.
        kept: Scores that were found on disk.
        seconds: Real seconds that the search waited for them.
    """

    computed: int = 0
    kept: int = 0
    seconds: float = 0.0

    def __add__(self, other: Scored) -> Scored:
        return Scored(self.computed + other.computed, self.kept + other.kept, self.seconds + other.seconds)

    def __sub__(self, other: Scored) -> Scored:
        return Scored(self.computed - other.computed, self.kept - other.kept, self.seconds - other.seconds)


@dataclass(frozen=True, slots=True)
class ScoringProgress:
    """Where the scoring of a session stands. None of the counts ever falls.

    Attributes:
        wanted: Scores asked for so far.
        done: Those that are there, failed ones included.
        kept: Those of them that were found on disk.
        elapsed_s: Real seconds that this session has spent on scoring.
        eta_s: Real seconds until all that is wanted is done; None while that cannot be said yet.
    """

    wanted: int
    done: int
    kept: int
    elapsed_s: float
    eta_s: float | None


class ScoringMeter:
    """Counts the steps of a source of proxy scores and measures them; a `po_nas.core.proxy_source.Watch`.

    The rate is that of the scores computed since the first one came: it leaves out what happens once, such as the start
    of workers and the loading of libraries, and what was found on disk. Until it is known, the last one holds.

    Args:
        tell: Called after every step.
        clock: Seconds from any beginning.
    """

    def __init__(self, tell: Callable[[ScoringProgress], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._tell, self._clock = tell, clock
        self._wanted = self._computed = self._kept = 0
        self._spent_s = 0.0
        self._began: float | None = None
        self._first: tuple[float, int] | None = None
        self._each_s: float | None = None

    def __call__(self, step: ScoringStep) -> None:
        """Enter a step."""
        now = self._clock()
        if self._began is None:
            self._began, self._first = now, None
        self._wanted += step.wanted
        self._computed += step.computed
        self._kept += step.kept
        if step.computed and self._first is None:
            self._first = now, self._computed
        done = self._computed + self._kept
        left = max(0, self._wanted - done)
        self._measure(now)
        eta = None if self._each_s is None else self._each_s * left
        if not left:
            eta = 0.0
            self._spent_s += now - self._began
            self._began = None
        self._tell(ScoringProgress(self._wanted, done, self._kept, self._seconds(now), eta))

    @property
    def scored(self) -> Scored:
        """What was spent so far."""
        return Scored(self._computed, self._kept, self._seconds(self._clock()))

    def _seconds(self, now: float) -> float:
        return self._spent_s + (0.0 if self._began is None else now - self._began)

    def _measure(self, now: float) -> None:
        """Take the seconds of a score from those that have come since the first one."""
        if self._first is not None:
            since, before = self._first
            if self._computed > before and now - since >= _SPAN_S:
                self._each_s = (now - since) / (self._computed - before)
