"""Evolution of a pool of candidates: before each trial, one generation joins those that a search may propose."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from po_nas.core.searcher import MethodOptions, Searcher
from po_nas.core.trial import Observation
from po_nas.evolution import MetricBudget, generation, select_survivors
from po_nas.evolution.problem import Score
from po_nas.methods.candidates import Candidates, Identity, MetricPool, require_metrics
from po_nas.spaces.base import Architecture
from surrogates.isolation import single_thread

__all__ = ["Added", "EvolutionOptions", "Growth", "Judge", "Judged", "extended"]

_LAST = 5
"""Trials before the end of the budget from which pairs are chosen by score alone."""
_SPAN = 10
"""Generations until then where the budget is not counted in evaluations, as published."""
_RANDOM = 7


class EvolutionOptions(MethodOptions):
    """Options of methods whose candidates evolve where the space cannot be enumerated."""

    evolution: bool = Field(
        True, description="whether candidates evolve where the space cannot be enumerated: a generation a trial"
    )
    evolve_from: PositiveInt = Field(10, description="the trial before which the first generation is bred")
    elite: int = Field(20, ge=2, description="candidates with the highest scores, among which pairs are formed")
    pairs: PositiveInt = Field(20, description="pairs that are bred; each has one child, and its whole neighbourhood")
    keep: PositiveInt = Field(50, description="offspring of a generation whose metrics are computed and that stay")
    pair_score: Literal["paper", "released"] = Field(
        "paper", description="of pairs: the paper's convex sum of path cost and score, or the released code's sum"
    )
    metric_budget: NonNegativeInt | None = Field(
        None, description="offspring for which metrics may be computed in all; default: no limit"
    )


@dataclass(frozen=True, eq=False)
class Added:
    """Architectures that joined the candidates of a search, with raw metrics (a, k); `measured` of them by evolution.

    Survivors come first, in the order of their generations, then evaluated architectures that are in neither.
    """

    architectures: tuple[Architecture, ...]
    values: NDArray[np.float64]
    measured: int = 0


class _Kept(NamedTuple):
    """What was found from an earlier object and a key."""

    before: Added
    key: Hashable
    found: Added

    def fits(self, before: Added, key: Hashable) -> bool:
        return self.before is before and self.key == key


class Judged(NamedTuple):
    """What a model says: `scores` (n + a,) of candidates and added ones, and how to score offspring."""

    scores: NDArray[np.float64]
    predict: Score


class Judge(Protocol):
    """A model of the search signal."""

    def __call__(self, number: int, added: Added, told: Sequence[Observation]) -> Judged | None:
        """Fit to what was told before trial `number`, with randomness that depends on it alone; None: too few data."""
        ...


def extended(base: MetricPool, added: Added, identity: Identity) -> MetricPool:
    """A pool with the added architectures at its end."""
    if not added.architectures:
        return base
    listed = base.candidates
    position = dict(listed.position)
    for place, architecture in enumerate(added.architectures, len(listed)):
        position.setdefault(identity(architecture), place)
    candidates = Candidates((*listed.architectures, *added.architectures), position, listed.space)
    return MetricPool(candidates, base.names, np.concatenate([base.values, added.values]))


class Growth:
    """What has joined the candidates `base` of a search by now.

    In a space that cannot be enumerated, each trial from number `evolve_from` on is preceded by a generation: the best
    pairs among all candidates have offspring (`po_nas.evolution.generation`), the model scores these by predicted
    metrics, and the `keep` best stay, with real metrics. Architectures that were evaluated or are pending join as well,
    wherever they came from, so that a model of the candidates learns from every evaluation.

    All of it is a function of the trials: the generation before trial t is bred from the one before it and from what
    has been told of earlier trials, with a generator of its own. What is kept between calls is a cache of that; when an
    outcome comes late, the generations after its trial are bred again (and metrics computed that may not be needed).
    """

    def __init__(self, searcher: Searcher, base: MetricPool, options: EvolutionOptions, judge: Judge) -> None:
        self._searcher, self._base, self._options, self._judge = searcher, base, options, judge
        self._source = require_metrics(searcher.domain, type(searcher).__name__)
        self._generations: dict[int, _Kept] = {}
        self._latest: _Kept | None = None
        self._none = Added((), np.empty((0, len(base.names))))

    def now(self) -> Added:
        """What has joined before the next trial, or before the last one when the budget is spent."""
        searcher, o = self._searcher, self._options
        survivors, last = self._none, searcher.asked
        if searcher.domain.max_evaluations is not None:
            last = min(last, searcher.domain.max_evaluations - 1)
        if o.evolution and not searcher.domain.space.enumerable:
            for number in range(o.evolve_from, last + 1):
                survivors = self._generation(number, survivors)
        seen = self._seen(searcher.asked)
        key = tuple(seen)
        if self._latest is None or not self._latest.fits(survivors, key):
            self._latest = _Kept(survivors, key, self._with(survivors, seen))
        return self._latest.found

    def counts(self) -> dict[str, int]:
        """For the report: offspring whose metrics were asked for, and networks that were built for any metric."""
        return {"offspring_measured": self.now().measured, "networks_scored": self._source.computed}

    def _generation(self, number: int, before: Added) -> Added:
        told = [o for o in self._searcher.observations if o.trial.number < number]
        seen = self._seen(number)
        outcomes = tuple((o.trial.number, o.trial.architecture, o.outcome.validation) for o in told)
        key, kept = (outcomes, tuple(seen)), self._generations.get(number)
        if kept is None or not kept.fits(before, key):
            with single_thread():
                kept = self._generations[number] = _Kept(before, key, self._bred(number, before, told, seen))
        return kept.found

    def _bred(self, number: int, before: Added, told: Sequence[Observation], seen: Sequence[Architecture]) -> Added:
        o, domain = self._options, self._searcher.domain
        added = self._with(before, seen)
        judged = self._judge(number, added, told)
        if judged is None or np.isfinite(judged.scores).sum() < 2:
            return before
        pool = extended(self._base, added, domain.identity).candidates
        rng = np.random.default_rng(np.random.SeedSequence(self._searcher.seed, spawn_key=(number, _RANDOM)))
        offspring = generation(
            domain.space,
            pool.architectures,
            judged.scores,
            rng,
            self._progress(number),
            elite=o.elite,
            pairs=o.pairs,
            reference=o.pair_score == "released",
            key=domain.identity,
            known=pool.position,
        )
        left = None if o.metric_budget is None else o.metric_budget - before.measured
        chosen = select_survivors(offspring, judged.predict, MetricBudget(self._measure, left), o.keep)
        if not chosen.architectures:
            return before
        return Added(
            (*before.architectures, *chosen.architectures),
            np.concatenate([before.values, chosen.metrics]),
            before.measured + len(chosen.architectures),
        )

    def _progress(self, number: int) -> float:
        budget, start = self._searcher.domain.max_evaluations, self._options.evolve_from
        span = _SPAN if budget is None else max(budget - _LAST - start, 1)
        return min((number - start) / span, 1.0)

    def _seen(self, number: int) -> list[Architecture]:
        """What was told or is pending of the trials before a number, and given from elsewhere."""
        searcher = self._searcher
        told = [o.trial for o in searcher.observations]
        trials = [*told, *(trial for _, trial in sorted(searcher.pending.items()))]
        return [trial.architecture for trial in sorted(trials, key=lambda t: t.number) if trial.number < number]

    def _with(self, survivors: Added, seen: Sequence[Architecture]) -> Added:
        """Survivors, and those of the seen architectures that are not among the candidates."""
        identity = self._searcher.domain.identity
        present = {identity(architecture) for architecture in survivors.architectures}
        others: dict[Hashable, Architecture] = {}
        for architecture in seen:
            key = identity(architecture)
            if key not in present and key not in self._base.candidates.position:
                others.setdefault(key, architecture)
        if not others:
            return survivors
        found = tuple(others.values())
        values = np.concatenate([survivors.values, self._measure(found)])
        return replace(survivors, architectures=(*survivors.architectures, *found), values=values)

    def _measure(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        values = np.asarray(self._source.values(architectures, self._base.names), dtype=np.float64)
        return np.where(np.isfinite(values), values, np.nan)
