"""Bayesian optimisation with a Gaussian process over operation n-grams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from scipy.sparse import csr_array, vstack

from po_nas.core.searcher import MethodOptions, Proposal, Searcher
from po_nas.core.trial import Observation
from po_nas.evolution import evolve
from po_nas.evolution.evolve import Score
from po_nas.methods.acquisition import acquisition_field, beta_field
from po_nas.methods.candidates.candidate_set import CandidateSet, candidates, is_listed
from po_nas.methods.candidates.choice_search import climbed
from po_nas.methods.objectives import (
    Marginal,
    Posterior,
    children,
    front_values,
    known_values,
    log_feasibility,
    observed_losses,
    pareto_best_first,
    scalarised,
)
from po_nas.spaces.base import Architecture
from po_nas.spaces.ngrams import NGramEncoder
from proxies.normalise import normal_scores
from surrogates.acquisition import Blocks, GPScorer, JointAcquisition, argmax_random_ties
from surrogates.isolation import single_thread
from surrogates.labels import Scale, clipped_scores, impute_failures

__all__ = ["GPBO"]

_FAILED = "acquisition (fit failed)"
_SCREENED = 500
"""With pending trials, this many candidates (best by the marginal acquisition) get the joint acquisition."""

_SCREENED_CHOICES = 60
"""The same where choices have kernels of their own, which take longer."""

_LISTED_CHOICES = 5_000
"""Architectures up to which a space of such choices is scored as a whole."""

Kernel = Literal["both", "graph", "vector"]


class _Options(MethodOptions):
    initial: PositiveInt = Field(10, description="random architectures evaluated first")
    acquisition: JointAcquisition = acquisition_field("logei", "lognei", "ucb")
    beta: float = beta_field(4.0)
    kernel: Kernel = Field(
        "both",
        description="graph: counts of operation sequences; vector: the space's vector encoding; both: their sum, in a "
        "declared space the vectors alone",
    )
    ngrams: int = Field(3, ge=1, le=5, description="longest operation sequence that is counted")
    population: PositiveInt = Field(100, description="of the evolution that proposes candidates in large spaces")
    generations: PositiveInt = Field(15, description="of that evolution")


class GPBO(Searcher):
    """Gaussian-process Bayesian optimisation.

    After `initial` random architectures, a BoTorch GP is fitted to the normal scores of the search signal. Its kernel
    is a sum of two: one compares how often each sequence of up to `ngrams` operations occurs along the edges of two
    architectures (isomorphic graphs are equal to it), the other their vector encodings, variable by variable; the
    likelihood weighs them. In a declared space there is one for each named choice, continuous, integer or categorical,
    and one for all together (`surrogates.choice_kernel`), and targets are standard scores. The acquisition function
    scores the whole space where it can be enumerated (up to 60,000 architectures, 5,000 in a declared space); elsewhere
    a pymoo evolution that starts from the best architectures so far looks for its maximum. In a declared space that is
    a search from random ones and mutants of the best so far, in which mutations and steps along the gradient take
    turns. While other trials are pending, and for every further trial of a batch, the joint noisy expected improvement
    given the pending ones is used. Failed trials count as the worst value seen. When a fit fails, a warning is issued,
    the prior scales are used, and the trial's origin reads ``acquisition (fit failed)``. With several objectives each
    that an evaluation must tell has such a model, and the acquisition function is the noisy expected hypervolume
    improvement; limits on what only an evaluation tells multiply it by the probability that they are kept
    (`po_nas.methods.objectives`).

    References: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023,
    arXiv 2310.20708; Ru et al., Interpretable Neural Architecture Search via Bayesian Optimisation with
    Weisfeiler-Lehman Kernels, ICLR 2021, arXiv 2006.07556 (graph kernels for architectures).
    """

    Options = _Options
    supports_objectives = True
    options: _Options

    def propose(self, rng: np.random.Generator) -> Proposal:
        """An initial draw, or the maximum of the acquisition function."""
        if not self.initial_design_done(self.options.initial, successes=2):
            return Proposal(self.draw_unseen(rng), "initial")
        with single_thread():
            return self._maximise(rng)

    def _maximise(self, rng: np.random.Generator) -> Proposal:
        observations = self.observations
        told = [o.trial.architecture for o in observations]
        pending = [t.architecture for t in self.pending.values()]
        space, o = self.domain.space, self.options
        # Twins of one key have different vector encodings; which one it is decides the trials of every seed.
        groups = space.vector_groups if self._by_choice else ()
        listed = is_listed(space) and (not groups or (space.size or 0) <= _LISTED_CHOICES)
        pool = candidates(self.domain, self.seed, keep="last") if listed else None
        ngrams = None
        if o.kernel != "vector" and not groups:
            ngrams = pool.encodings.ngrams(o.ngrams) if pool else NGramEncoder(space, [*told, *pending], o.ngrams)
        encode = self._encoder(ngrams)
        if self.domain.goals.several:
            return self._front(pool, ngrams, encode, rng)
        scorer = GPScorer(
            *(encode(told), self._targets(observations), encode(pending), rng, o.acquisition, o.beta, groups),
            improved=self._feasible_places(observations),
        )
        choices: Sequence[Architecture]
        if pool:
            choices, features, gone = pool.architectures, self._features(pool, ngrams), pool.positions(self.seen)
        else:
            if groups:
                choices = self._climbed(scorer, observations, rng)
            else:
                parents = self.best_first(observations)
                choices = self._evolve(lambda found: scorer.marginal(encode(found)), parents, rng)
            features, gone = encode(choices), []
        values = scorer.marginal(features)
        feasible: NDArray[np.float64] | None = None
        if self.domain.goals.measured_limits:
            feasible = log_feasibility(self, self._posterior(encode, features, rng))
            values = self._within(values, feasible)
        values[gone] = -np.inf
        if (pending or o.acquisition == "lognei") and len(choices) > len(gone):
            most = _SCREENED_CHOICES if groups else _SCREENED
            best = np.argsort(-values, kind="stable")[: min(most, len(choices) - len(gone))]
            choices = [choices[i] for i in best]
            values = scorer.joint(tuple(block[best] for block in features))
            if feasible is not None:
                values = self._within(values, feasible[best])
        place = argmax_random_ties(values, rng)
        if place is None:
            # Nothing left in the pool, or a model so far off that it has no opinion.
            return Proposal(self.draw_unseen(rng), _FAILED)
        return Proposal(choices[place], "acquisition" if scorer.fitted else _FAILED)

    def _feasible_places(self, observations: Sequence[Observation]) -> list[int] | None:
        """Places of the observations that keep all limits; None where all do, or none does."""
        goals = self.domain.goals
        if not goals.measured_limits:
            return None
        kept = [o.outcome.validation is not None and goals.feasible(o.outcome.metrics) for o in observations]
        return [place for place, keeps in enumerate(kept) if keeps] or None

    def _within(self, values: NDArray[np.float64], feasible: NDArray[np.float64]) -> NDArray[np.float64]:
        """Acquisition values (m,) times the probability that limits are kept, on a log scale.

        While nothing keeps them there is nothing to improve upon, and the probability alone counts.
        """
        return feasible if self._feasible_places(self.observations) is None else values + feasible

    def _posterior(
        self, encode: Callable[[Sequence[Architecture]], Blocks], features: Blocks, rng: np.random.Generator
    ) -> Posterior:
        """What predicts a metric for candidates."""
        told = self.successes
        groups = self.domain.space.vector_groups if self._by_choice else ()
        evaluated, pending = encode([o.trial.architecture for o in told]), self._pending_features(encode)

        def predict(scale: Scale) -> Marginal:
            scorer = GPScorer(evaluated, scale.targets, pending, rng, groups=groups)
            return scorer.posterior(features)

        return Posterior(told, predict)

    def _pending_features(self, encode: Callable[[Sequence[Architecture]], Blocks]) -> Blocks:
        return encode([t.architecture for t in self.pending.values()])

    def _front(
        self,
        pool: CandidateSet | None,
        ngrams: NGramEncoder | None,
        encode: Callable[[Sequence[Architecture]], Blocks],
        rng: np.random.Generator,
    ) -> Proposal:
        """The candidate that is expected to add most to the front."""
        evaluated = [o.trial.architecture for o in self.successes]
        evaluated += [t.architecture for t in self.pending.values()]
        choices: Sequence[Architecture]
        if pool:
            choices, gone = pool.architectures, pool.positions(self.seen)
            features = self._features(pool, ngrams)
            known = self.domain.cache.get(
                "known", (pool,), self.domain.goals, lambda: known_values(self.domain, pool.architectures)
            )
        else:
            choices, gone = self._bred(encode, rng), []
            features, known = encode(choices), known_values(self.domain, choices)
        # What was evaluated comes first: it need not be among the candidates.
        both = tuple(csr_array(vstack(pair, format="csr")) for pair in zip(encode(evaluated), features, strict=True))
        losses = np.concatenate([known_values(self.domain, evaluated), known])
        posterior = self._posterior(encode, both, rng)
        first = len(evaluated)
        values = front_values(self, posterior, losses, range(first), rng, [first + k for k in gone])[first:]
        values[gone] = -np.inf
        place = argmax_random_ties(values, rng)
        return Proposal(self.draw_unseen(rng), "random") if place is None else Proposal(choices[place], "acquisition")

    def _bred(self, encode: Callable[[Sequence[Architecture]], Blocks], rng: np.random.Generator) -> list[Architecture]:
        """Unseen candidates: what one random weighting of the objectives likes, and mutants of the front."""
        told, space = self.successes, self.domain.space
        losses, _ = observed_losses(self, told)
        groups = space.vector_groups if self._by_choice else ()
        targets = clipped_scores(scalarised(losses, rng))
        evaluated = encode([o.trial.architecture for o in told])
        scorer = GPScorer(evaluated, targets, self._pending_features(encode), rng, groups=groups)
        parents = pareto_best_first(self, told)
        if groups:
            found = climbed(
                *(space, scorer, parents, rng), key=self.domain.identity, known=self.seen, number=_SCREENED_CHOICES
            )
        else:
            found = self._evolve(lambda some: scorer.marginal(encode(some)), parents, rng)
        keys = {*self.seen, *(self.domain.identity(a) for a in found)}
        return [*found, *children(self, told, keys, _SCREENED_CHOICES, rng)] or [self.draw_unseen(rng)]

    def _targets(self, observations: Sequence[Observation]) -> NDArray[np.float64]:
        """The search signal on the scale of the model, failures at the worst value seen.

        Normal scores; standard scores where choices have kernels of their own, which learn how much is lost by what:
        ranks hide that.
        """
        signal = impute_failures(np.array([self.signal(o.outcome) for o in observations]))
        return clipped_scores(signal) if self._by_choice else normal_scores(signal)

    @property
    def _by_choice(self) -> bool:
        """Whether the kernel is one of named choices, and nothing else."""
        return self.options.kernel != "graph" and bool(self.domain.space.vector_groups)

    def _evolve(self, score: Score, parents: Sequence[Architecture], rng: np.random.Generator) -> list[Architecture]:
        found = evolve(
            self.domain.space,
            score,
            rng,
            start=parents[: self.options.population // 2],
            key=self.domain.identity,
            population=self.options.population,
            generations=self.options.generations,
        )
        return [a for a, _ in found if not self.is_seen(a)][:_SCREENED] or [self.draw_unseen(rng)]

    def _climbed(
        self, scorer: GPScorer, observations: Sequence[Observation], rng: np.random.Generator
    ) -> list[Architecture]:
        """Unseen architectures with high acquisition, where choices have names."""
        found = climbed(
            self.domain.space,
            scorer,
            self.best_first(observations),
            rng,
            key=self.domain.identity,
            known=self.seen,
            number=_SCREENED_CHOICES,
        )
        return found or [self.draw_unseen(rng)]

    def _encoder(self, ngrams: NGramEncoder | None) -> Callable[[Sequence[Architecture]], Blocks]:
        """What describes architectures by the blocks of features that the option `kernel` asks for."""

        def encode(architectures: Sequence[Architecture]) -> Blocks:
            vectors = self.domain.space.encode_vectors(architectures)
            return self._blocks(ngrams(architectures) if ngrams else None, vectors)

        return encode

    def _features(self, pool: CandidateSet, ngrams: NGramEncoder | None) -> Blocks:
        """The whole space; encoding it takes longer than a proposal, so searches share it."""

        def make() -> Blocks:
            return self._blocks(ngrams.references if ngrams else None, pool.encodings.vectors)

        return self.domain.cache.get("gp_bo features", (pool, ngrams), self.options.kernel, make)

    def _blocks(self, counts: csr_array | None, vectors: NDArray[np.float64]) -> Blocks:
        blocks = () if counts is None else (counts,)
        return blocks if self.options.kernel == "graph" else (*blocks, csr_array(vectors, dtype=np.float64))
