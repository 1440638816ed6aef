"""Evolution of the candidates: before each trial, one generation joins those that a search may propose."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt

from po_nas.core.searcher import MethodOptions, Searcher
from po_nas.core.trial import Observation
from po_nas.evolution import generation, select_survivors
from po_nas.evolution.evolve import Score
from po_nas.methods.candidates.candidate_set import CandidateSet, require_proxies
from po_nas.spaces.base import Architecture
from surrogates.isolation import single_thread

__all__ = ["CandidateEvolution", "EvolutionOptions", "OffspringScorer", "PredictedScores"]

_LAST = 5
"""Trials before the end of the budget from which pairs are chosen by score alone."""
_KEPT_BY_CHOICE = 10
"""Offspring of a generation that stay where an acquisition function has chosen them already."""
_SPAN = 10
"""Generations until then where the budget is not counted in evaluations, as published."""


class EvolutionOptions(MethodOptions):
    """Options of methods whose candidates evolve where the space cannot be enumerated."""

    deprecated: ClassVar[Mapping[str, str]] = {"metric_budget": "proxy_budget"}

    evolution: bool = Field(
        True, description="whether candidates evolve where the space cannot be enumerated: a generation a trial"
    )
    evolve_from: PositiveInt = Field(10, description="the trial before which the first generation is bred")
    elite: int = Field(20, ge=2, description="candidates with the highest scores, among which pairs are formed")
    pairs: PositiveInt = Field(20, description="pairs that are bred; each has one child, and its whole neighbourhood")
    keep: PositiveInt = Field(50, description="offspring of a generation whose proxies are computed and that stay")
    pair_score: Literal["paper", "released"] = Field(
        "paper", description="of pairs: the paper's convex sum of path cost and score, or the released code's sum"
    )
    proxy_budget: NonNegativeInt | None = Field(
        None, description="offspring for which proxies may be computed in all; default: no limit"
    )


class PredictedScores(NamedTuple):
    """What a model predicts: scores (n,) of the candidates, and a function that scores offspring."""

    candidates: NDArray[np.float64]
    offspring: Score


class OffspringScorer(Protocol):
    """A model of the search signal."""

    def __call__(self, number: int, candidates: CandidateSet, told: Sequence[Observation]) -> PredictedScores | None:
        """Fit to what was told before trial `number`, with randomness that depends on it alone; None: too few data."""


class OffspringSource(Protocol):
    """What proposes offspring by itself, best first, where named choices tell a better way than pairs."""

    def __call__(self, number: int, candidates: CandidateSet, told: Sequence[Observation]) -> Sequence[Architecture]:
        """From what was told before trial `number`, with randomness that depends on it alone; none that is known."""


class _Kept(NamedTuple):
    """What was made from an earlier set and a key."""

    before: CandidateSet
    key: Hashable
    made: CandidateSet

    def fits(self, before: CandidateSet, key: Hashable) -> bool:
        return self.before is before and self.key == key


class CandidateEvolution:
    """The candidates of a search: those it started from, and what has joined them by now.

    In a space that cannot be enumerated, each trial from number `evolve_from` on is preceded by a generation: the best
    pairs among all candidates have offspring (`po_nas.evolution.generation`), the model scores these by predicted
    proxy scores, and the `keep` best stay, with real ones. Warm-start observations bring the first generation forward.
    Where lower fidelities are evaluated too, only a trial after a full evaluation is preceded by one.
    Architectures that were evaluated or are pending join as well, wherever they came from, so that a model of the
    candidates learns from every evaluation.

    All of it is a function of the trials: the generation before trial t is bred from the one before it and from what
    has been told of earlier trials, with a generator of its own. What is kept between calls is a cache of that; when an
    outcome comes late, the generations after its trial are bred again (and scores computed that may not be needed).

    Args:
        searcher: The search.
        base: The candidates it starts from.
        options: Of the evolution.
        scorer: The model that orders candidates and offspring.
        source: What offspring come from instead of pairs; then at most ten of them stay.
    """

    def __init__(
        self,
        searcher: Searcher,
        base: CandidateSet,
        options: EvolutionOptions,
        scorer: OffspringScorer,
        source: OffspringSource | None = None,
    ) -> None:
        self._searcher, self._base, self._options, self._scorer = searcher, base, options, scorer
        self._offspring = source
        self._source = require_proxies(searcher.domain, type(searcher).__name__)
        self._generations: dict[int, _Kept] = {}
        self._latest: _Kept | None = None

    def now(self) -> CandidateSet:
        """The candidates before the next trial, or before the last one when the budget is spent.

        Survivors come after the base, in the order of their generations, then evaluated ones that are in neither.
        """
        survivors = self._survivors()
        seen = self._seen(self._searcher.asked)
        key = tuple(seen)
        if self._latest is None or not self._latest.fits(survivors, key):
            self._latest = _Kept(survivors, key, self._with(survivors, seen))
        return self._latest.made

    def counts(self) -> dict[str, int]:
        """For the report: offspring whose proxies were scored, and networks that were built for any proxy."""
        return {
            "offspring_measured": len(self._survivors()) - len(self._base),
            "networks_scored": self._source.computed,
        }

    @property
    def _first(self) -> int:
        """The trial before which the first generation is bred."""
        return self._searcher.initial_trials(self._options.evolve_from)

    def _survivors(self) -> CandidateSet:
        domain, last = self._searcher.domain, self._searcher.asked
        survivors = self._base
        if not self._options.evolution or domain.space.enumerable:
            return survivors
        if self._searcher.uses_fidelities(self._searcher.options):
            # Offspring cost proxy scores, and an evaluation at a lower fidelity hardly tells where to look for them.
            full = {o.trial.number for o in self._searcher.observations}
            full |= {number for number, trial in self._searcher.pending.items() if trial.fidelity is None}
            numbers = [number for number in range(self._first, last + 1) if number - 1 in full]
        else:
            if domain.max_evaluations is not None:
                last = min(last, domain.max_evaluations - 1)
            numbers = list(range(self._first, last + 1))
        for number in numbers:
            survivors = self._generation(number, survivors)
        return survivors

    def _generation(self, number: int, before: CandidateSet) -> CandidateSet:
        told = [o for o in self._searcher.observations if o.trial.number < number]
        seen = self._seen(number)
        outcomes = tuple((o.trial.number, o.trial.architecture, o.outcome.validation) for o in told)
        key, kept = (outcomes, tuple(seen)), self._generations.get(number)
        if kept is None or not kept.fits(before, key):
            with single_thread():
                kept = self._generations[number] = _Kept(before, key, self._bred(number, before, told, seen))
        return kept.made

    def _bred(
        self, number: int, before: CandidateSet, told: Sequence[Observation], seen: Sequence[Architecture]
    ) -> CandidateSet:
        o, domain = self._options, self._searcher.domain
        candidates = self._with(before, seen)
        left = o.keep if o.proxy_budget is None else o.proxy_budget - (len(before) - len(self._base))
        if self._offspring is not None:
            found = self._offspring(number, candidates, told)[: max(min(o.keep, left, _KEPT_BY_CHOICE), 0)]
            return before.extended(found, np.ascontiguousarray(self._scores(found))) if found else before
        scores = self._scorer(number, candidates, told)
        if scores is None or np.isfinite(scores.candidates).sum() < 2:
            return before
        offspring = generation(
            domain.space,
            candidates.architectures,
            scores.candidates,
            self._searcher.stream("evolution", number),
            self._progress(number),
            elite=o.elite,
            pairs=o.pairs,
            reference=o.pair_score == "released",
            key=domain.identity,
            known=candidates.position,
        )
        chosen = select_survivors(offspring, scores.offspring, min(o.keep, left))
        return before.extended(chosen, np.ascontiguousarray(self._scores(chosen))) if chosen else before

    def _progress(self, number: int) -> float:
        budget = self._searcher.domain.max_evaluations
        span = _SPAN if budget is None else max(budget - _LAST - self._first, 1)
        return min((number - self._first) / span, 1.0)

    def _seen(self, number: int) -> list[Architecture]:
        """What was told or is pending of the trials before a number, and the warm start."""
        return [trial.architecture for trial in self._searcher.all_trials if trial.number < number]

    def _with(self, survivors: CandidateSet, seen: Sequence[Architecture]) -> CandidateSet:
        """Survivors, and those of the seen architectures that are not among the candidates."""
        others: dict[Hashable, Architecture] = {}
        for architecture in seen:
            key = survivors.identity(architecture)
            if key not in survivors.position:
                others.setdefault(key, architecture)
        architectures = tuple(others.values())
        return survivors.extended(architectures, self._scores(architectures)) if architectures else survivors

    def _scores(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        return self._source.values(architectures, self._base.names)
