"""RoBoT: Bayesian optimisation of one weighting of proxies, then greedy use of the best."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from scipy.sparse import csr_array

from po_nas.core.searcher import Domain, MethodOptions, Proposal, Searcher
from po_nas.methods.acquisition import acquisition_field, beta_field
from po_nas.methods.candidates.candidate_set import (
    POOL_OPTION,
    SCALING_OPTION,
    CandidateSet,
    require_proxies,
    scored_candidates,
)
from proxies.normalise import UNIT_SCALES, UnitScaling, normal_scores
from surrogates.acquisition import GPScorer, MarginalAcquisition
from surrogates.isolation import single_thread
from surrogates.labels import impute_failures

__all__ = ["RoBoT"]

_EXPLORING, _EXPLOITING = "weights", "robust combination"
_CHUNK = 256
"""Weight vectors whose scores of all candidates are held at a time."""


class _Options(MethodOptions):
    deprecated: ClassVar[Mapping[str, str]] = {"metrics": "proxies"}

    proxies: tuple[str, ...] | None = Field(
        None, description="proxies that are combined; default: all that half of the candidates have"
    )
    pool: PositiveInt | None = Field(None, description=POOL_OPTION)
    scaling: UnitScaling = Field("min_max", description=SCALING_OPTION)
    iterations: PositiveInt | None = Field(
        None, description="weight vectors that are tried; default: the budget of evaluations, or 100"
    )
    initial: PositiveInt = Field(5, description="random weight vectors tried first")
    vectors: PositiveInt = Field(2000, description="weight vectors among which the acquisition function chooses")
    acquisition: MarginalAcquisition = acquisition_field("logei", "ucb")
    beta: float = beta_field(6.6)


class RoBoT(Searcher):
    """One weighting of the proxies for all architectures, found by Bayesian optimisation, then used greedily.

    A weight vector in [-1, 1]^k stands for the candidate with the largest weighted sum of the proxies, each mapped to
    [0, 1] by its range over the candidates (or as `scaling` says); its value is the search signal of that candidate. A
    BoTorch GP over weight vectors, with normal scores of the values as targets, chooses `iterations` of them in turn. A
    vector whose candidate has been evaluated costs nothing: the value is looked up. So after T vectors only T0 <= T
    evaluations have been spent, and those left go to the candidates that the best vector ranks highest.

    Candidates that lack a score rank below all that have every one; among each other a missing value counts as the
    middle of the range. The acquisition function is maximised over a set of random vectors drawn from the seed, enough
    since a signal changes only where another candidate comes first. While trials are pending, vectors of their
    candidates are passed over. Failed trials count as the worst value seen. Nothing is remembered between calls: the
    sequence of vectors follows from the seed and the trials (a trial that the sequence would not ask for today, since
    more has been told in the meantime, takes the place in it that its number says). A warm-start observation counts as
    one of the `initial` vectors, and where its candidate comes first under some vector, that one has been tried.

    References: He et al., Robustifying and Boosting Training-Free Neural Architecture Search, ICLR 2024,
    arXiv 2403.07591.
    """

    Options = _Options
    supports_transfer = True
    options: _Options

    def __init__(self, domain: Domain, *, seed: int, options: MethodOptions | None = None) -> None:
        super().__init__(domain, seed=seed, options=options)
        require_proxies(domain, "robot", self.options.proxies)
        self._choices: dict[tuple[object, ...], int | None] = {}

    def propose(self, rng: np.random.Generator) -> Proposal:
        """The candidate of the next weight vector, or the best unseen one under the best vector."""
        combined = self._combined
        candidates = combined.candidates
        values = self._values()
        with single_thread():
            tried, place = self._sequence(values)
        if place is not None:
            return Proposal(candidates.architectures[place], _EXPLORING)
        best = max(tried, key=lambda i: values.get(int(combined.tops[i]), -np.inf), default=0)
        gone = set(candidates.positions(self.seen))
        for following in combined.order(best):
            if int(following) not in gone:
                return Proposal(candidates.architectures[int(following)], _EXPLOITING)
        return Proposal(self.draw_unseen(rng), "random")

    @cached_property
    def _combined(self) -> _Combinations:
        o = self.options
        candidates = scored_candidates(self.domain, self.seed, "robot", o.proxies, o.pool)
        vectors = self.stream("weights").uniform(-1.0, 1.0, size=(o.vectors, len(candidates.names)))
        return _Combinations(candidates, UNIT_SCALES[o.scaling](candidates.scores, missing="middle").fitted, vectors)

    def _values(self) -> dict[int, float]:
        """Scores of the candidates that have been evaluated, by place; failures minus infinity."""
        position, identity = self._combined.candidates.position, self.domain.identity
        told = ((position.get(identity(o.trial.architecture)), self.score(o.outcome)) for o in self.observations)
        return {place: score for place, score in told if place is not None}

    def _sequence(self, values: dict[int, float]) -> tuple[list[int], int | None]:
        """Weight vectors tried so far, and the candidate that the next one wants evaluated; None when they are over."""
        combined, identity = self._combined, self.domain.identity
        position = combined.candidates.position
        trials = [trial for trial in self.all_trials if trial.number >= 0]
        asked = {position.get(identity(trial.architecture)) for trial in trials}
        met = set(values) - asked
        # A warm-start observation of a candidate that some vector puts first is what trying that vector would tell.
        tried = [combined.first(place) for place in values if place in met and combined.is_first(place)]
        initial = len(tried) + self.initial_trials(self.options.initial)
        # Exploration comes first, so its trials are those before any other's.
        exploring = itertools.takewhile(lambda trial: trial.origin == _EXPLORING, trials)
        explored = [position[identity(trial.architecture)] for trial in exploring]
        over = len(explored) < len(trials)
        for _ in range(self.options.iterations or self.domain.max_evaluations or 100):
            chosen = self._choose(tried, initial, values, met - set(values))
            if chosen is None:
                break
            place = int(combined.tops[chosen])
            if place not in met:
                if not explored:
                    if over:
                        break
                    return tried, place
                if explored[0] != place:
                    chosen = combined.first(explored[0])
                met.add(explored.pop(0))
            tried.append(chosen)
        # More was told since, and more vectors were looked up: what has been explored still counts.
        return tried + [combined.first(place) for place in explored], None

    def _choose(self, tried: Sequence[int], initial: int, values: dict[int, float], pending: set[int]) -> int | None:
        """The weight vector after those tried, random before `initial`; remembered, since a model is fitted for it."""
        tops = self._combined.tops
        known = [(i, values[int(tops[i])]) for i in tried if int(tops[i]) in values]
        key = (tuple(tried), tuple(known), tuple(sorted(pending)))
        if key not in self._choices:
            closed = np.isin(tops, list(pending))
            closed[list(tried)] = True
            self._choices[key] = None if closed.all() else self._maximise(known, closed, initial, len(tried))
        return self._choices[key]

    def _maximise(
        self, known: Sequence[tuple[int, float]], closed: NDArray[np.bool_], initial: int, number: int
    ) -> int:
        o = self.options
        scores = np.array([score for _, score in known])
        finite = np.isfinite(scores)
        # Vectors are random, so that the first open one is a random one.
        first = int(np.argmin(closed))
        if number < initial or finite.sum() < 2:
            return first
        vectors = self._combined.vectors
        rng, targets = self.stream("acquisition", number), normal_scores(impute_failures(scores))
        nothing = csr_array((0, vectors.shape[1]))
        scorer = GPScorer((csr_array(vectors[[i for i, _ in known]]),), targets, (nothing,), rng, o.acquisition, o.beta)
        found = scorer.marginal((csr_array(vectors),))
        found[closed | ~np.isfinite(found)] = -np.inf
        return int(found.argmax()) if np.isfinite(found).any() else first


@dataclass(frozen=True, eq=False)
class _Combinations:
    """Weighted sums of the `scaled` proxy scores (n, k) of candidates under `vectors` (m, k)."""

    candidates: CandidateSet
    scaled: NDArray[np.float64]
    vectors: NDArray[np.float64]

    def scores(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores (candidates, vectors); those of incomplete candidates are below all others."""
        found: NDArray[np.float64] = self.scaled @ vectors.T
        found[self.candidates.incomplete] -= 3.0 * vectors.shape[1]
        return found

    @cached_property
    def tops(self) -> NDArray[np.intp]:
        """The candidate (m,) with the highest score under each vector."""
        starts = range(0, len(self.vectors), _CHUNK)
        return np.concatenate([self.scores(self.vectors[start : start + _CHUNK]).argmax(axis=0) for start in starts])

    def order(self, vector: int) -> NDArray[np.intp]:
        """All candidates, the one with the highest score under a vector first."""
        return np.argsort(-self.scores(self.vectors[[vector]])[:, 0], kind="stable")

    def is_first(self, place: int) -> bool:
        """Whether a candidate has the highest score under some vector."""
        return bool((self.tops == place).any())

    def first(self, place: int) -> int:
        """The first vector under which a candidate has the highest score."""
        return int(np.flatnonzero(self.tops == place)[0])
