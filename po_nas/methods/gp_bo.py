"""Bayesian optimisation with a Gaussian process over operation n-grams."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.sparse import csr_array

from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.evolution import evolve
from po_nas.evolution.problem import Score
from po_nas.methods.choice import failures_as_worst, highest
from po_nas.spaces.base import Architecture, Space
from po_nas.spaces.ngrams import NGramEncoder
from surrogates.acquisition import Acquisition, Blocks, GPScorer
from surrogates.gaussian_process import normal_scores
from surrogates.isolation import single_thread

__all__ = ["GPBO"]

_ENUMERATE = 60_000
"""Spaces up to this size are scored whole; beyond it evolution looks for the maximum."""
_FAILED = "acquisition (fit failed)"
_SCREENED = 500
"""With pending trials, this many candidates (best by the marginal acquisition) get the joint acquisition."""


Kernel = Literal["both", "graph", "vector"]


class _Options(MethodOptions):
    initial: PositiveInt = Field(10, description="random architectures evaluated first")
    acquisition: Acquisition = Field(
        "logei", description="logei: expected improvement on a log scale; lognei: with a noisy incumbent; ucb"
    )
    beta: PositiveFloat = Field(4.0, description="for ucb: mean + sqrt(beta) * standard deviation")
    kernel: Kernel = Field(
        "both", description="graph: counts of operation sequences; vector: the space's vector encoding; both: their sum"
    )
    ngrams: int = Field(3, ge=1, le=5, description="longest operation sequence that is counted")
    population: PositiveInt = Field(100, description="of the evolution that proposes candidates in large spaces")
    generations: PositiveInt = Field(15, description="of that evolution")


class GPBO(Searcher):
    """Gaussian-process Bayesian optimisation.

    After `initial` random architectures, a BoTorch GP is fitted to the normal scores of the search signal. Its kernel
    is a sum of two: one compares how often each sequence of up to `ngrams` operations occurs along the edges of two
    architectures (isomorphic graphs are equal to it), the other their vector encodings, variable by variable; the
    likelihood weighs them. The acquisition function scores the whole space where it can be enumerated (up to 60,000
    architectures); elsewhere a pymoo evolution that starts from the best architectures so far looks for its maximum.
    While other trials are pending, and for every further trial of a batch, the joint noisy expected improvement given
    the pending ones is used. Failed trials count as the worst value seen. When a fit fails, a warning is issued, the
    prior scales are used, and the trial's origin reads ``acquisition (fit failed)``.

    References: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023,
    arXiv 2310.20708; Ru et al., Interpretable Neural Architecture Search via Bayesian Optimisation with
    Weisfeiler-Lehman Kernels, ICLR 2021, arXiv 2006.07556 (graph kernels for architectures).
    """

    Options = _Options
    options: _Options

    def propose(self, rng: np.random.Generator) -> Proposal:
        """An initial draw, or the maximum of the acquisition function."""
        if self.begun < self.options.initial or len(self.successes) < 2:
            return Proposal(self.draw_unseen(rng), "initial")
        with single_thread():
            return self._maximise(rng)

    def _maximise(self, rng: np.random.Generator) -> Proposal:
        observations = self.observations
        told = [o.trial.architecture for o in observations]
        pending = [t.architecture for t in self.pending.values()]
        pool, o = self._pool, self.options
        encode = pool.encode if pool else _Encoder(self.domain.space, [*told, *pending], o.kernel, o.ngrams)
        scorer = GPScorer(encode(told), self._targets(observations), encode(pending), rng, o.acquisition, o.beta)
        candidates: Sequence[Architecture]
        if pool:
            candidates, features, gone = pool.architectures, pool.features, pool.positions(self._seen)
        else:
            candidates = self._evolve(lambda found: scorer.marginal(encode(found)), observations, rng)
            features, gone = encode(candidates), []
        values = scorer.marginal(features)
        values[gone] = -np.inf
        if pending or o.acquisition == "lognei":
            best = np.argsort(-values, kind="stable")[: min(_SCREENED, len(candidates) - len(gone))]
            candidates = [candidates[i] for i in best]
            values = scorer.joint(tuple(block[best] for block in features))
        place = highest(values, rng)
        if place is None:
            # Nothing left in the pool, or a model so far off that it has no opinion.
            return Proposal(self.draw_unseen(rng), _FAILED)
        return Proposal(candidates[place], "acquisition" if scorer.fitted else _FAILED)

    def _targets(self, observations: Sequence[Observation]) -> NDArray[np.float64]:
        """Normal scores of the search signal, failures at the worst value seen."""
        return normal_scores(failures_as_worst(np.array([self.score(o.outcome) for o in observations])))

    def _evolve(
        self, score: Score, observations: Sequence[Observation], rng: np.random.Generator
    ) -> list[Architecture]:
        ranked = sorted(observations, key=lambda o: -self.score(o.outcome))
        found = evolve(
            self.domain.space,
            score,
            rng,
            start=[o.trial.architecture for o in ranked[: self.options.population // 2]],
            key=self.domain.identity,
            population=self.options.population,
            generations=self.options.generations,
        )
        return [a for a, _ in found if not self.is_seen(a)][:_SCREENED] or [self.draw_unseen(rng)]

    @property
    def _pool(self) -> _Pool | None:
        """The whole space with its features, where it is small enough to list."""
        space = self.domain.space
        if not space.enumerable or space.size > _ENUMERATE:
            return None
        return _pool(space, self.domain.identity, self.options.kernel, self.options.ngrams)


class _Encoder:
    """Architectures as the blocks of features that a kernel option stands for; `references` are those it is made of."""

    def __init__(self, space: Space, references: Sequence[Architecture], kernel: Kernel, n: int) -> None:
        self._space, self._kernel = space, kernel
        self._ngrams = NGramEncoder(space, references if kernel != "vector" else (), n)
        self.references = self._blocks(self._ngrams.references, references)

    def __call__(self, architectures: Sequence[Architecture]) -> Blocks:
        return self._blocks(self._ngrams(architectures) if self._kernel != "vector" else None, architectures)

    def _blocks(self, counts: csr_array | None, architectures: Sequence[Architecture]) -> Blocks:
        blocks = [counts] if counts is not None and self._kernel != "vector" else []
        if self._kernel != "graph":
            vectors = np.zeros((len(architectures), self._space.vector_size))
            for row, architecture in enumerate(architectures):
                vectors[row] = self._space.encode_vector(architecture)
            blocks.append(csr_array(vectors))
        return tuple(blocks)


class _Pool:
    """A space with one architecture per identity, encoded once."""

    def __init__(self, space: Space, identity: Callable[[Architecture], Hashable], kernel: Kernel, n: int) -> None:
        found = {identity(a): a for a in space.enumerate()}
        self._position = {key: position for position, key in enumerate(found)}
        self.architectures = tuple(found.values())
        self.encode = _Encoder(space, self.architectures, kernel, n)
        self.features = self.encode.references

    def positions(self, identities: set[Hashable]) -> list[int]:
        """Where the architectures with those identities are in the pool, as far as they are."""
        return [self._position[identity] for identity in identities if identity in self._position]


@lru_cache(maxsize=2)
def _pool(space: Space, identity: Callable[[Architecture], Hashable], kernel: Kernel, n: int) -> _Pool:
    """Shared by the searches of one process, for encoding a space takes longer than a proposal."""
    return _Pool(space, identity, kernel, n)
